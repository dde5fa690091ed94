"""The space of the parameters: bounds, scales and integers, and its map from the unit cube.

The optimiser works on coordinates u without bounds. Each is folded into the unit interval, smoothly
at both ends, and the unit interval is mapped to the parameter's range:

    {"low": 0.01, "high": 1, "scale": "log", "integer": false}
"""

from collections.abc import Mapping, Sequence
from math import floor, sqrt
from typing import Any

from optimiser.portable import exp, log

MARGIN = 0.05  # of the unit interval at each end, where the map is quadratic

Space = Mapping[str, Mapping[str, Any]]
Values = dict[str, float | int]


def check(space: Space) -> None:
    """ValueError naming the parameter whose declaration cannot be searched."""
    if not space:
        raise ValueError("space is empty: declare at least one parameter in the state")
    for name, parameter in space.items():
        low, high = parameter["low"], parameter["high"]
        if not low < high:
            raise ValueError(f"space.{name}: low is {low} and high is {high}: low must be less")
        if parameter.get("scale") == "log" and not low > 0:
            raise ValueError(f"space.{name}: low is {low}: a log scale needs a positive low")
        if parameter.get("integer") and (low != floor(low) or high != floor(high)):
            raise ValueError(f"space.{name}: the bounds of an integer must be integers")


def fold(u: float) -> float:
    """A coordinate without bounds to [0, 1]: the identity between the margins, then a parabola
    that reaches the bound with slope 0, mirrored beyond it (as in pycma's BoundTransform)."""
    width = 1.0 + 2.0 * MARGIN
    place = (u + MARGIN) % (2.0 * width)
    if place > width:
        place = 2.0 * width - place
    u = place - MARGIN
    if u < MARGIN:
        return (u + MARGIN) * (u + MARGIN) / (4.0 * MARGIN)
    if u > 1.0 - MARGIN:
        rest = u - 1.0 - MARGIN
        return 1.0 - rest * rest / (4.0 * MARGIN)
    return u


def unfold(share: float) -> float:
    """The coordinate within [-MARGIN, 1 + MARGIN] that `fold` maps to this share."""
    if share < MARGIN:
        return 2.0 * sqrt(MARGIN * share) - MARGIN
    if share > 1.0 - MARGIN:
        return 1.0 + MARGIN - 2.0 * sqrt(MARGIN * (1.0 - share))
    return share


def ordered(space: Space) -> list[tuple[str, Mapping[str, Any]]]:
    """The parameters in the order of the coordinates: by name, since JSON objects have no order."""
    return sorted(space.items())


def values(space: Space, point: Sequence[float]) -> Values:
    """The parameters at a point of the optimiser's coordinates, within their bounds."""
    pairs = zip(ordered(space), point, strict=True)
    return {name: value_at(parameter, fold(u)) for (name, parameter), u in pairs}


def point(space: Space, given: Mapping[str, float]) -> list[float]:
    """A point of the optimiser's coordinates whose parameters are these."""
    if set(given) != set(space):
        wrong = ", ".join(sorted(set(given) ^ set(space)))
        raise ValueError(f"the parameters and the space differ in {wrong}: each has to be in both")
    for name, parameter in space.items():
        if not parameter["low"] <= given[name] <= parameter["high"]:
            bounds = f"from {parameter['low']} to {parameter['high']}"
            raise ValueError(f"{name} is {given[name]}: its bounds in the space are {bounds}")
    return [unfold(share_of(parameter, given[name])) for name, parameter in ordered(space)]


def _ends(parameter: Mapping[str, Any]) -> tuple[float, float]:
    """The range that the unit interval maps to. An integer k stands for [k - 1/2, k + 1/2]."""
    half = 0.5 if parameter.get("integer") else 0.0
    return parameter["low"] - half, parameter["high"] + half


def value_at(parameter: Mapping[str, Any], share: float) -> float | int:
    """The parameter's value at a share of its range, from 0 to 1."""
    low, high = _ends(parameter)
    if parameter.get("scale") == "log":
        value = exp(log(low) + share * (log(high) - log(low)))
    else:
        value = low + share * (high - low)
    if parameter.get("integer"):
        value = floor(value + 0.5)
    return min(max(value, parameter["low"]), parameter["high"])


def share_of(parameter: Mapping[str, Any], value: float) -> float:
    """The share of its range, from 0 to 1, that a value of the parameter is at."""
    low, high = _ends(parameter)
    if parameter.get("scale") == "log":
        return (log(value) - log(low)) / (log(high) - log(low))
    return (value - low) / (high - low)
