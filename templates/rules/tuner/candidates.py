"""The conditions that a set of examples offers, each with the examples that meet it."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from math import floor
from typing import Any, NamedTuple

from runner.conditions import Features, is_number, is_text, words

Key = tuple[str, str, Any]  # feature, operator, value


class Cuts(NamedTuple):
    """A numeric feature: its examples in groups of rising value, and the cut after each group.

    The last group has no cut after it.
    """

    feature: str
    groups: list[list[int]]
    cuts: list[float]


class Categories(NamedTuple):
    """Conditions of one feature that are met by the examples listed with them."""

    members: list[tuple[Key, list[int]]]


Column = Cuts | Categories


def columns(
    examples: Sequence[Features],
    most_cuts: int,
    least: int,
    bounds: Mapping[str, set[float]],
) -> list[Column]:
    """The columns of all features. Categories of fewer than `least` examples are left out."""
    found: list[Column] = []
    for feature in sorted({name for features in examples for name in features}):
        numbers: list[tuple[float, int]] = []
        groups: dict[Key, list[int]] = {}
        for row, features in enumerate(examples):
            if feature not in features:
                continue
            value = features[feature]
            if is_number(value):
                numbers.append((value, row))
            for key in categories(feature, value):
                groups.setdefault(key, []).append(row)
        if numbers:
            found.append(cut(feature, sorted(numbers), most_cuts, bounds.get(feature, set())))
        members = [(key, rows) for key, rows in groups.items() if len(rows) >= least]
        if members:
            found.append(Categories(sorted(members, key=lambda member: repr(member[0]))))
    return found


def categories(feature: str, value: Any) -> Iterator[Key]:
    """The conditions other than comparisons of size that a value meets."""
    if isinstance(value, list) or is_text(value):
        for word in words(value):
            yield feature, "contains", word
    elif isinstance(value, (str, bool)):
        yield feature, "equals", value


def cut(
    feature: str, numbers: list[tuple[float, int]], most_cuts: int, bounds: set[float]
) -> Cuts:
    """The examples of a numeric feature, cut at its quantiles, or at known bounds close to them."""
    size, values = len(numbers), [value for value, _ in numbers]
    places = [place for place in range(1, size) if values[place - 1] < values[place]]
    if len(places) > most_cuts:
        wanted = {size * number // (most_cuts + 1) for number in range(1, most_cuts + 1)}
        places = sorted({next_place(places, place) for place in wanted})
    cuts = {place: between(values[place - 1], values[place]) for place in places}
    reach = size // (2 * (most_cuts + 1))  # half the examples between two quantiles
    for bound in sorted(bounds):
        at = bisect_right(values, bound)
        near = [place for place in cuts if abs(place - at) <= reach and cuts[place] not in bounds]
        if near and 0 < at < size:
            del cuts[min(near, key=lambda place: abs(place - at))]
            cuts[at] = bound
    edges = [0, *sorted(cuts), size]
    groups = [
        [row for _, row in numbers[start:end]]
        for start, end in zip(edges, edges[1:], strict=False)
    ]
    return Cuts(feature, groups, [cuts[place] for place in sorted(cuts)])


def next_place(places: list[int], wanted: int) -> int:
    """The first place that is not before the wanted one, or else the last."""
    return next((place for place in places if place >= wanted), places[-1])


def between(low: float, high: float) -> float:
    """A number with few decimals that is at least `low` and below `high`, close to the middle."""
    middle = (low + high) / 2
    for decimals in range(12):
        digits = 10**decimals
        for whole in (round(middle * digits), floor(middle * digits)):
            short = whole / digits if decimals else whole
            if low <= short < high:
                return short
    return low
