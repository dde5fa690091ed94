"""The policies: from the arms' sums and a context to the probability of choosing each arm.

thompson-beta     Thompson 1933; Chapelle & Li 2011. Beta(1 + Σr, 1 + n - Σr), rewards 0 to 1
thompson-normal   Agrawal & Goyal 2013 (Further optimal regret bounds). `exploration` times the
                  pooled standard deviation of rewards
ucb1              Auer, Cesa-Bianchi & Fischer 2002. `exploration` times √(2 ln N / n); with a
                  discount that of Garivier & Moulines 2011
lin-ts            Agrawal & Goyal 2013 (Thompson sampling for contextual bandits with linear
                  payoffs). `exploration` is v
lin-ucb           Li, Chu, Langford & Schapire 2010, disjoint models. `exploration` is α
square-cb         Foster & Rakhlin 2020, inverse gap weighting. γ = `exploration` √(1 + N). The gaps
                  are those of upper confidence bounds, with the α `square-cb-alpha` (0 where it is
                  not given): γ takes a gap as known, and one of few rewards is not

n is the number of an arm's rewards, N that of all arms.
"""

from collections.abc import Callable, Mapping, Sequence
from math import log, sqrt
from typing import Any, NamedTuple

from bandit import best
from bandit.features import UNIT
from bandit.linear import MILLIONTH, Posterior, posterior

Arm = Mapping[str, Any]
Chances = list[float]


class Outlook(NamedTuple):
    """What a policy chooses by: a value for each arm, in order."""

    arms: Sequence[Arm]
    estimates: Sequence[float]  # of the reward
    exploration: float
    alpha: float  # of square-cb
    widths: Callable[[], list[float]]  # of the linear models at the context

    @property
    def rewards(self) -> float:
        """The number of rewards of all arms."""
        return sum(arm["n"] for arm in self.arms)

    def scores(self, widths: Sequence[float], times: float) -> list[float]:
        """Upper confidence bounds, so many times the width above the estimates."""
        return [
            estimate + times * width
            for estimate, width in zip(self.estimates, widths, strict=True)
        ]


def evaluate(
    policy: Mapping[str, Any], arms: Sequence[Arm], x: Sequence[int]
) -> tuple[Sequence[float], Chances]:
    """Of each arm, the estimate of its reward and the probability that it is chosen.

    The arms' sums are those that count now: see `window.current`.
    """
    name = policy["algorithm"]
    at = [value / UNIT for value in x]
    models = [_model(arm, len(x), policy["ridge"]) for arm in arms] if name in LINEAR else []
    outlook = Outlook(
        arms,
        [model.mean(at) for model in models] or [_mean(arm) for arm in arms],
        policy["exploration"].get(name, 1.0),
        policy["exploration"].get("square-cb-alpha", 0.0),
        lambda: [model.width(at) for model in models],
    )
    return outlook.estimates, _at_least(policy["floor"], CHANCES[name](outlook))


def _at_least(floor: float, chances: Chances) -> Chances:
    """A mixture with the uniform policy in which no arm has less than the floor."""
    number = len(chances)
    if floor * number > 1:
        raise ValueError(f"policy.floor is {floor}: with {number} arms at most {1 / number:.3f}")
    return [floor + (1 - floor * number) * chance for chance in chances]


def _mean(arm: Arm) -> float:
    return arm["sum"] * MILLIONTH / arm["n"] if arm["n"] > 0 else 0.0


def _model(arm: Arm, size: int, ridge: float) -> Posterior:
    if size == 1:
        # without features, the sums of the intercept are the count and the sum of rewards
        return posterior((arm["n"] * UNIT * UNIT,), (arm["sum"],), ridge)
    packed, moment = arm.get("A"), arm.get("b")
    if packed is None or moment is None:
        return posterior((0,) * (size * (size + 1) // 2), (0,) * size, ridge)
    if len(moment) != size:
        raise ValueError(
            f"the context has {size - 1} numbers and the arm's sums have {len(moment) - 1}: "
            "a change of the features needs arms without A, b and windowed"
        )
    if len(packed) != size * (size + 1) // 2:
        raise ValueError(
            f"an arm's A has {len(packed)} numbers where its b has {size}: "
            f"give it the {size * (size + 1) // 2} of the lower triangle, or remove both"
        )
    return posterior(tuple(packed), tuple(moment), ridge)


def _highest(scores: Sequence[float]) -> Chances:
    """The same chance for each arm with the highest score."""
    top = max(scores)
    winners = [score >= top for score in scores]
    return [winner / sum(winners) for winner in winners]


def _untried_first(arms: Sequence[Arm]) -> Chances | None:
    """The same chance for each arm without a reward; None where there is none."""
    untried = [arm["n"] <= 0 for arm in arms]
    return _highest(untried) if any(untried) else None


# Policies without a context.


def _thompson_beta(outlook: Outlook) -> Chances:
    return best.of_betas([_beta_shapes(arm) for arm in outlook.arms])


def _beta_shapes(arm: Arm) -> tuple[float, float]:
    won = arm["sum"] * MILLIONTH
    return max(1 + won, 1.0), max(1 + arm["n"] - won, 1.0)


def _thompson_normal(outlook: Outlook) -> Chances:
    deviation = outlook.exploration * _pooled_deviation(outlook)
    return _untried_first(outlook.arms) or best.of_normals(
        outlook.estimates, [deviation / sqrt(arm["n"]) for arm in outlook.arms]
    )


def _pooled_deviation(outlook: Outlook) -> float:
    """The standard deviation of rewards around their arm's mean; 1 while too few are known."""
    freedom = outlook.rewards - len(outlook.arms)
    if freedom < 1:
        return 1.0
    squares = sum(arm["squares"] * MILLIONTH - arm["n"] * _mean(arm) ** 2 for arm in outlook.arms)
    return max(sqrt(max(squares, 0.0) / freedom), 1 / UNIT)


def _ucb1(outlook: Outlook) -> Chances:
    time = log(max(outlook.rewards, 1.0))
    return _untried_first(outlook.arms) or _highest(
        outlook.scores([sqrt(2 * time / arm["n"]) for arm in outlook.arms], outlook.exploration)
    )


# Policies with a linear model of each arm.


def _lin_ts(outlook: Outlook) -> Chances:
    widths = [outlook.exploration * width for width in outlook.widths()]
    return best.of_normals(outlook.estimates, widths)


def _lin_ucb(outlook: Outlook) -> Chances:
    return _highest(outlook.scores(outlook.widths(), outlook.exploration))


def _square_cb(outlook: Outlook) -> Chances:
    gamma = outlook.exploration * sqrt(1 + outlook.rewards)
    scores = outlook.scores(outlook.widths(), outlook.alpha)
    number, top = len(scores), max(scores)
    chances = [1 / (number + gamma * (top - score)) for score in scores]
    leaders = _highest(scores)
    rest = 1 - sum(chances)
    return [chance + rest * leader for chance, leader in zip(chances, leaders, strict=True)]


LINEAR = ("lin-ts", "lin-ucb", "square-cb")
CHANCES: dict[str, Callable[[Outlook], Chances]] = {
    "thompson-beta": _thompson_beta,
    "thompson-normal": _thompson_normal,
    "ucb1": _ucb1,
    "lin-ts": _lin_ts,
    "lin-ucb": _lin_ucb,
    "square-cb": _square_cb,
}
