"""A lower bound on the deviation of integer parameters.

Where an integer's deviation is far below 1, every candidate has the same value and the search is
stuck there. As in CMA-ES with margin (Hamano, Saito, Nomura and Shirakawa, GECCO 2022), the
probability to sample another value is kept at 1 / (n lambda) or more: here by the deviation alone,
which is raised, with its correlations kept, until the nearest other value is within reach.
"""

from collections.abc import Mapping
from math import sqrt
from typing import Any

from optimiser import space as spaces
from optimiser.distribution import Distribution
from optimiser.portable import log


def widen(distribution: Distribution, space: spaces.Space, size: int) -> None:
    """Raises the deviation of each integer parameter to its lower bound."""
    reach = tail(1.0 / (len(space) * size))
    for index, (_, parameter) in enumerate(spaces.ordered(space)):
        if not parameter.get("integer"):
            continue
        least = _distance(parameter, distribution["mean"][index]) / reach
        variance = distribution["covariance"][index][index]
        deviation = distribution["sigma"] * sqrt(variance)
        if deviation < least:
            _stretch(distribution, index, least / deviation)


def tail(probability: float) -> float:
    """z with P(N(0, 1) > z) = probability, within 0.0005 (Abramowitz and Stegun, 26.2.23)."""
    t = sqrt(-2.0 * log(min(probability, 0.4)))
    above = 2.515517 + t * (0.802853 + t * 0.010328)
    below = 1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308))
    return t - above / below


def _distance(parameter: Mapping[str, Any], u: float) -> float:
    """How far the nearest other value of the parameter is from a coordinate."""
    share = spaces.fold(u)
    u, value = spaces.unfold(share), spaces.value_at(parameter, share)
    low, high = parameter["low"], parameter["high"]
    edges = [edge for edge in (value - 0.5, value + 0.5) if low < edge < high]
    return min(abs(spaces.unfold(spaces.share_of(parameter, edge)) - u) for edge in edges)


def _stretch(distribution: Distribution, index: int, factor: float) -> None:
    """Multiplies one coordinate's deviation."""
    for row, values in enumerate(distribution["covariance"]):
        if row == index:
            distribution["covariance"][row] = [value * factor for value in values]
        if row >= index:
            distribution["covariance"][row][index] *= factor
    distribution["path_covariance"][index] *= factor
