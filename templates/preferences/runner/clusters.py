"""Judgements of one conversation or judge are a cluster: they are not independent.

Intervals from the information alone would be too narrow. They are widened by the design effect:
the variance of the score (the gradient of the log-likelihood) between clusters over the variance
that independent judgements would have, in the metric of the estimate's covariance. This is the mean
generalised design effect of Rao and Scott (1984), with the factor C / (C - 1) for a small number C
of clusters. It is measured on the judgements that the state remembers.
"""

from collections.abc import Iterable
from typing import NamedTuple

from runner.davidson import Fit, quadratic


class Judgement(NamedTuple):
    """One judgement: `outcome` is 1 when the first item won, 0 when it lost, 1/2 for a tie."""

    cluster: str
    first: int
    second: int
    outcome: float


def design_effect(fit: Fit, judgements: Iterable[Judgement]) -> float:
    """How many times larger the variance of the estimate is than with independent judgements.

    At least 1. With a single cluster nothing shows how clusters differ: all its judgements then
    count as one.
    """
    size = len(fit.strengths)
    clusters: dict[str, list[float]] = {}
    count, independent = 0, 0.0
    for judgement in judgements:
        a, b = judgement.first, judgement.second
        chance = fit.outcomes(a, b)
        score = judgement.outcome - (1 + chance.win - chance.loss) / 2
        total = clusters.setdefault(judgement.cluster, [0.0] * size)
        total[a] += score
        total[b] -= score
        independent += score * score * fit.variance(a, b)
        count += 1
    if count == len(clusters) or not independent:
        return 1.0
    if len(clusters) == 1:
        return float(count)
    between = sum(quadratic(fit.covariance, total) for total in clusters.values())
    return max(1.0, between / independent * len(clusters) / (len(clusters) - 1))
