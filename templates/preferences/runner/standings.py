"""The state as a fitted model: what the Runner's tools read."""

from collections.abc import Mapping
from functools import cached_property
from math import erf, exp, pi, sqrt
from typing import Any, NamedTuple

from runner.clusters import Judgement, design_effect
from runner.davidson import Fit, Pair, Prior, fit

MEMBERS = ("items", "model", "pairs", "recent")


def normal_cdf(value: float) -> float:
    """The distribution function of the standard normal."""
    return (1 + erf(value / sqrt(2))) / 2


def two_sided_quantile(confidence: float) -> float:
    """The z with P(|Z| < z) = confidence for a standard normal Z, by Newton's method."""
    value = 0.0
    for _ in range(60):
        density = 2 * exp(-value * value / 2) / sqrt(2 * pi)
        step = (confidence - erf(value / sqrt(2))) / density
        value += step
        if abs(step) < 1e-12:
            break
    return value


class Strength(NamedTuple):
    """The estimated strength of an item (a logarithm, relative to the mean), with its interval."""

    item: str
    value: float
    low: float
    high: float


class Standings:
    """The strengths of a state's items. Equal states give equal strengths."""

    def __init__(self, members: tuple[Mapping[str, Any], ...]) -> None:
        self.items, self.model, self.pairs, self.recent = members
        # retired items are in the fit, because their judgements inform about the others
        self.names = sorted(self.items)
        self.numbers = {name: number for number, name in enumerate(self.names)}
        self.ranked = [name for name in self.names if not self.items[name].get("retired")]

    @cached_property
    def counts(self) -> list[Pair]:
        """The judged pairs by the numbers of their items."""
        return [
            Pair(self.numbers[a], self.numbers[b], count["wins"], count["losses"], count["ties"])
            for a, rivals in sorted(self.pairs.items())
            for b, count in sorted(rivals.items())
        ]

    @cached_property
    def fit(self) -> Fit:
        """The model, fitted."""
        model = self.model
        prior = Prior(model["prior"], model["strength"], model["tie_precision"])
        return fit(len(self.names), self.counts, prior)

    @cached_property
    def design_effect(self) -> float:
        """The factor of all variances for judgements that share a cluster."""
        return design_effect(self.fit, [self.judgement(*entry) for entry in self.recent.items()])

    def judgement(self, identifier: str, entry: Mapping[str, Any]) -> Judgement:
        """A remembered judgement; one without a cluster is a cluster of its own."""
        winner, loser = self.numbers[entry["winner"]], self.numbers[entry["loser"]]
        cluster = entry.get("cluster") or f"\n{identifier}"
        return Judgement(cluster, winner, loser, 0.5 if entry["tie"] else 1.0)

    def ranking(self) -> list[Strength]:
        """The items that are not retired, the strongest first; equal ones by name."""
        strengths = [self.strength(name) for name in self.ranked]
        return sorted(strengths, key=lambda strength: (-round(strength.value, 9), strength.item))

    def strength(self, name: str) -> Strength:
        """An item's strength with its interval."""
        number = self.numbers[name]
        value = self.fit.strengths[number]
        variance = self.fit.covariance[number][number] * self.design_effect
        reach = two_sided_quantile(self.model["confidence"]) * sqrt(max(variance, 0.0))
        return Strength(name, value, value - reach, value + reach)

    def better(self, first: str, second: str) -> float:
        """The probability that the first item is stronger than the second."""
        a, b = self.numbers[first], self.numbers[second]
        difference = self.fit.strengths[a] - self.fit.strengths[b]
        return normal_cdf(difference / sqrt(self.fit.variance(a, b) * self.design_effect))

    def tally(self, name: str) -> dict[str, int]:
        """How an item's judgements ended."""
        number, total = self.numbers[name], {"wins": 0, "losses": 0, "ties": 0}
        for pair in self.counts:
            if number == pair.second:
                pair = Pair(pair.second, pair.first, pair.losses, pair.wins, pair.ties)
            if number == pair.first:
                total["wins"] += pair.wins
                total["losses"] += pair.losses
                total["ties"] += pair.ties
        return total

    def judgements(self) -> int:
        """How many judgements were counted."""
        return sum(pair.judgements for pair in self.counts)


_last: Standings | None = None


def standings(state: Mapping[str, Any]) -> Standings:
    """The standings of a state; those of the last state are kept.

    ValueError when there are fewer than two items to compare.
    """
    global _last
    members = tuple(state[name] for name in MEMBERS)
    kept = _last and (_last.items, _last.model, _last.pairs, _last.recent)
    # calls with one Revision share its read-only members, so identity means equality
    if not kept or any(one is not other for one, other in zip(members, kept, strict=True)):
        _last = Standings(members)
    if len(_last.ranked) < 2:
        raise ValueError(
            f"the state has {len(_last.ranked)} item to compare, and a ranking needs two: "
            "add items with the Tuner's tool `add`"
        )
    return _last
