"""Induction of rules from examples, by fully corrective boosting with a significance stop.

The model is additive: a rule adds its weight to the score of its label (runner/voting.py). Rules
are found one after another. With the residuals g = y - p and h = p (1 - p) of the present
probabilities p of a label, a rule that covers examples with the sums G and H has the score
statistic G / sqrt(H) (Rao, 1948): the one-sided test of whether its weight is above 0. `penalty` is
added to H. The rule with the largest statistic is taken, and the weights of all rules are fitted
anew (tuner/weights.py), so none is found because earlier weights do not fit yet (fully corrective
boosting; Warmuth, Liao and Raetsch, 2006). A further condition joins a rule that it makes much
stronger.

Induction ends where no rule is significant at `level`, and so needs no examples set aside. It also
ends where the most significant rule covers what an earlier one of its label covers: what is left of
that is due to the penalty, and no other rule explains more.

A rule must also pay: among the examples that it covers, the share of its label is above that among
all examples, by a one-sided binomial test.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from math import erfc, exp, sqrt
from operator import add, sub
from typing import NamedTuple

from runner.conditions import Features, all_hold
from runner.voting import priors
from tuner import weights
from tuner.candidates import Cuts, Key, columns

WORTH = 2.0  # a further condition must raise the squared statistic by this factor

Sums = tuple[float, float, int, int]  # G, H, the examples, and those of them with the label


class Settings(NamedTuple):
    """The bounds of an induction, and its level of significance."""

    most_rules: int
    most_conditions: int
    most_cuts: int
    least_support: int
    penalty: float
    level: float


class Example(NamedTuple):
    """The features of something, and its label."""

    features: Features
    label: str


class Found(NamedTuple):
    """An induced rule: the examples that it covers, and how many of them have its label.

    `share` is the share of the label among all examples.
    """

    conditions: list[dict]
    label: str
    weight: float
    support: int
    right: int
    share: float


class Residuals(NamedTuple):
    """Of one label, by example: g, h, and whether the example has it."""

    slopes: list[float]
    curvatures: list[float]
    marks: list[bool]


class Step(NamedTuple):
    """A rule to be taken: the squared statistic, and what it covers."""

    gain: float
    conditions: tuple[Key, ...]
    label: str
    sums: Sums
    rows: set[int]

    def is_as(self, other: "Step") -> bool:
        """Whether both are for one label and cover the same examples."""
        return self.label == other.label and self.rows == other.rows


def conditions_of(keys: Iterable[Key]) -> list[dict]:
    """Conditions as the state has them."""
    return [{"feature": feature, "op": op, "value": value} for feature, op, value in keys]


def one_sided(statistic: float) -> float:
    """The probability of a standard normal value above the statistic."""
    return erfc(statistic / sqrt(2)) / 2


class Booster:
    """Examples with their present scores of each label, and the rules that were taken."""

    def __init__(
        self,
        examples: Sequence[Example],
        labels: Mapping[str, int],
        settings: Settings,
        bounds: Mapping[str, set[float]],
    ) -> None:
        self.settings = settings
        self.features = [example.features for example in examples]
        self.given = [example.label for example in examples]
        self.shares = {label: self.given.count(label) / len(examples) for label in sorted(labels)}
        self.start = priors(labels)
        self.scores = {label: [score] * len(examples) for label, score in self.start.items()}
        self.taken: list[Step] = []
        self.weights: list[float] = []
        self.fired = [0] * len(examples)  # the rules that fire on an example, as bits
        limits = settings.most_cuts, settings.least_support
        self.columns = columns(self.features, *limits, bounds)

    def residuals(self) -> dict[str, Residuals]:
        """The residuals of each label under the present scores."""
        powers = {label: list(map(exp, scores)) for label, scores in self.scores.items()}
        totals = list(map(sum, zip(*powers.values(), strict=True)))
        found = {}
        for label, values in powers.items():
            marks = [given == label for given in self.given]
            chances = [value / total for value, total in zip(values, totals, strict=True)]
            curvatures = [chance * (1 - chance) for chance in chances]
            found[label] = Residuals(list(map(sub, marks, chances)), curvatures, marks)
        return found

    def best(self) -> Step | None:
        """The most significant rule; None when none is significant, or it was taken before."""
        residuals, everything = self.residuals(), set(range(len(self.given)))
        first = None
        for label, ofs in residuals.items():
            start = Step(first.gain if first else 0.0, (), label, (0.0, 0.0, 0, 0), everything)
            first = self.extended(start, ofs, None) or first
        if first is None or one_sided(sqrt(first.gain)) > self.settings.level:
            return None
        while len(first.conditions) < self.settings.most_conditions:
            asked = first._replace(gain=WORTH * first.gain)
            longer = self.extended(asked, residuals[first.label], first.rows)
            if longer is None:
                break
            first = longer
        return None if any(map(first.is_as, self.taken)) else first

    def extended(self, rule: Step, residuals: Residuals, rows: set[int] | None) -> Step | None:
        """The rule with the best further condition, if its statistic is larger than the rule's."""
        gain, found = rule.gain, None
        for key, sums in self.sums(residuals, rows):
            slope, curvature, support, right = sums
            if slope <= 0 or support < self.settings.least_support:
                continue
            raised = slope * slope / (curvature + self.settings.penalty)
            if raised > gain and self.pays(rule.label, support, right):
                gain, found = raised, (key, sums)
        if found is None:
            return None
        key, sums = found
        condition = conditions_of([key])
        covered = {row for row in rule.rows if all_hold(condition, self.features[row])}
        return Step(gain, (*rule.conditions, key), rule.label, sums, covered)

    def pays(self, label: str, support: int, right: int) -> bool:
        """Whether the label is significantly more frequent among covered examples."""
        share = self.shares[label]
        spread = sqrt(support * share * (1 - share))
        return spread > 0 and one_sided((right - support * share) / spread) <= self.settings.level

    def sums(self, residuals: Residuals, rows: set[int] | None) -> Iterator[tuple[Key, Sums]]:
        """The sums of each condition, among `rows` where they are given."""
        for column in self.columns:
            if isinstance(column, Cuts):
                yield from cut_sums(column, residuals, rows)
            else:
                for key, members in column.members:
                    yield key, summed(members, residuals, rows)

    def take(self, step: Step) -> None:
        """Adds a rule, and fits the weights of all rules and the scores of the examples anew."""
        for row in step.rows:
            self.fired[row] |= 1 << len(self.taken)
        self.taken.append(step)
        rules, start = [taken.label for taken in self.taken], self.start
        self.weights = weights.fit(
            rules, self.fired, self.given, start, [*self.weights, 0.0], self.settings.penalty
        )
        known = {mask: weights.scores(rules, mask, start, self.weights) for mask in set(self.fired)}
        for label in self.scores:
            self.scores[label] = [known[mask][label] for mask in self.fired]


def summed(members: list[int], residuals: Residuals, rows: set[int] | None) -> Sums:
    """The sums over the members that are among the rows."""
    if rows is not None:
        members = [row for row in members if row in rows]
    slopes, curvatures, marks = (sum(map(of.__getitem__, members)) for of in residuals)
    return slopes, curvatures, len(members), int(marks)


def added(one: Sums, other: Sums) -> Sums:
    """The sums over two sets without a common member."""
    return tuple(map(add, one, other))


def cut_sums(
    column: Cuts, residuals: Residuals, rows: set[int] | None
) -> Iterator[tuple[Key, Sums]]:
    """The sums on both sides of each cut, by running totals."""
    running = list(accumulate((summed(group, residuals, rows) for group in column.groups), added))
    for below, value in zip(running, column.cuts, strict=False):
        yield (column.feature, "<=", value), below
        yield (column.feature, ">", value), tuple(map(sub, running[-1], below))


def induce(
    examples: Sequence[Example],
    labels: Mapping[str, int],
    settings: Settings,
    bounds: Mapping[str, set[float]],
) -> list[Found]:
    """The rules for these examples, in the order in which they were found.

    `labels` has the counts from which the scores start, as the Runner has them. `bounds` of numeric
    features are those of earlier rules: they are used again where new ones would be close.
    """
    booster = Booster(examples, labels, settings, bounds)
    while len(booster.taken) < settings.most_rules:
        step = booster.best()
        if step is None:
            break
        booster.take(step)
    return [
        Found(
            conditions_of(sorted(step.conditions, key=repr)),
            step.label,
            weight,
            *step.sums[2:],
            booster.shares[step.label],
        )
        for step, weight in zip(booster.taken, booster.weights, strict=True)
        if weight > 0
    ]
