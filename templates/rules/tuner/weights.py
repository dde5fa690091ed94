"""The weights of rules: a ridge-penalised multinomial logistic regression on which rules fire.

Weights are at least 0. They maximise the logarithm of the likelihood less `penalty` / 2 times the
sum of their squares, by Newton steps of one weight after another. Examples on which the same rules
fire are a group: they have the same scores.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import exp
from typing import NamedTuple

MOST_ROUNDS = 30
NEGLIGIBLE = 1e-4  # a change of a weight
LONGEST_STEP = 1.0  # of a weight: a Newton step may be far too long where h is small


class Group(NamedTuple):
    """Examples on which the same rules fire: their number, and that of each label."""

    size: int
    counts: Mapping[str, int]
    powers: dict[str, float]  # the exponential of each label's score, under the present weights


def fit(
    rules: Sequence[str],
    fired: Sequence[int],
    given: Sequence[str],
    start: Mapping[str, float],
    weights: Sequence[float],
    penalty: float,
) -> list[float]:
    """The weight of each rule.

    Args:
        rules: their labels
        fired: of each example the rules that fire on it, as the bits of a number
        given: of each example its label
        start: the score of each label without a rule
        weights: where to begin
        penalty: of a weight's square
    """
    found, groups = list(weights), grouped(rules, fired, given, start, weights)
    members = [
        [group for mask, group in groups.items() if mask >> number & 1]
        for number in range(len(rules))
    ]
    for _ in range(MOST_ROUNDS):
        largest = 0.0
        for number, label in enumerate(rules):
            weight = improved(found[number], label, members[number], penalty)
            change, found[number] = weight - found[number], weight
            factor = exp(change)
            for group in members[number]:
                group.powers[label] *= factor
            largest = max(largest, abs(change))
        if largest < NEGLIGIBLE:
            break
    return found


def grouped(
    rules: Sequence[str],
    fired: Sequence[int],
    given: Sequence[str],
    start: Mapping[str, float],
    weights: Sequence[float],
) -> dict[int, Group]:
    """The groups by the rules that fire."""
    counts: dict[int, Counter[str]] = {}
    for mask, label in zip(fired, given, strict=True):
        counts.setdefault(mask, Counter())[label] += 1
    return {
        mask: Group(
            of_labels.total(),
            of_labels,
            {label: exp(score) for label, score in scores(rules, mask, start, weights).items()},
        )
        for mask, of_labels in counts.items()
    }


def scores(
    rules: Sequence[str], mask: int, start: Mapping[str, float], weights: Sequence[float]
) -> dict[str, float]:
    """The score of each label where these rules fire."""
    found = dict(start)
    for number, label in enumerate(rules):
        if mask >> number & 1:
            found[label] += weights[number]
    return found


def improved(weight: float, label: str, groups: Sequence[Group], penalty: float) -> float:
    """The weight after one Newton step, at least 0."""
    slope, curvature = -penalty * weight, penalty
    for size, counts, powers in groups:
        chance = powers[label] / sum(powers.values())
        slope += counts[label] - size * chance
        curvature += size * chance * (1 - chance)
    step = max(-LONGEST_STEP, min(LONGEST_STEP, slope / curvature))
    return max(0.0, weight + step)
