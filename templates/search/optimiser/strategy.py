"""The strategy parameters of CMA-ES: weights and learning rates.

Hansen, The CMA Evolution Strategy: A Tutorial (arXiv:1604.00772, 2016), table 1, with the negative
weights of its equations 50 to 53 (active covariance matrix adaptation).
"""

from functools import lru_cache
from math import fsum, sqrt
from typing import NamedTuple

from optimiser.portable import dot, log


class Strategy(NamedTuple):
    """The constants for n parameters and a population of `size`; names as in the tutorial."""

    weights: tuple[float, ...]  # of the ranks, best first; the worse half is negative
    mu: int
    mu_eff: float
    c_sigma: float
    d_sigma: float
    c_c: float
    c_1: float
    c_mu: float
    expected_norm: float  # of a standard normal vector


def usual_population(n: int) -> int:
    return 4 + int(3 * log(n))


@lru_cache(maxsize=16)
def strategy(n: int, size: int) -> Strategy:
    raw = [log((size + 1) / 2) - log(rank) for rank in range(1, size + 1)]
    mu = size // 2
    mu_eff = _effective(raw[:mu])
    c_1 = 2 / ((n + 1.3) ** 2 + mu_eff)
    c_mu = min(1 - c_1, 2 * (0.25 + mu_eff + 1 / mu_eff - 2) / ((n + 2) ** 2 + mu_eff))
    c_sigma = (mu_eff + 2) / (n + mu_eff + 5)
    return Strategy(
        weights=_scaled(raw, mu, n, c_1, c_mu),
        mu=mu,
        mu_eff=mu_eff,
        c_sigma=c_sigma,
        d_sigma=1 + 2 * max(0.0, sqrt((mu_eff - 1) / (n + 1)) - 1) + c_sigma,
        c_c=(4 + mu_eff / n) / (n + 4 + 2 * mu_eff / n),
        c_1=c_1,
        c_mu=c_mu,
        expected_norm=sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n)),
    )


def _effective(weights: list[float]) -> float:
    """The variance effective selection mass; 0 where all weights are 0."""
    squares = dot(weights, weights)
    return fsum(weights) ** 2 / squares if squares else 0.0


def _scaled(raw: list[float], mu: int, n: int, c_1: float, c_mu: float) -> tuple[float, ...]:
    """Positive weights that sum to 1, and negative ones that keep the covariance definite."""
    positive = fsum(raw[:mu])
    negative = -fsum(weight for weight in raw if weight < 0)
    of_negative = _effective([weight for weight in raw if weight < 0])
    limit = min(
        1 + c_1 / c_mu,
        1 + 2 * of_negative / (of_negative + 2),
        (1 - c_1 - c_mu) / (n * c_mu),
    )
    return tuple(w / positive if w > 0 else w * limit / negative for w in raw)
