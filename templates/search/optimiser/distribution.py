"""The multivariate normal distribution of CMA-ES: its sampling and its update.

Hansen, The CMA Evolution Strategy: A Tutorial (arXiv:1604.00772, 2016), appendix A. A distribution
is the part of the search's JSON with these keys:

    mean              n numbers, in the optimiser's coordinates
    sigma             the step size
    covariance        rows of the lower triangle of C
    path_sigma        the evolution path of the step size
    path_covariance   the evolution path of the covariance
"""

from functools import lru_cache
from math import sqrt
from operator import mul
from typing import Any, NamedTuple

from optimiser import eigen
from optimiser.eigen import Rows
from optimiser.portable import dot, exp, log, norm
from optimiser.strategy import Strategy

_LARGEST_STEP = 1.0  # of log sigma in one generation

Distribution = dict[str, Any]


def new(mean: list[float], sigma: float) -> Distribution:
    n = len(mean)
    return {
        "mean": mean,
        "sigma": sigma,
        "covariance": [[float(i == j) for j in range(i + 1)] for i in range(n)],
        "path_sigma": [0.0] * n,
        "path_covariance": [0.0] * n,
    }


class Factors(NamedTuple):
    """C = B D^2 B^T, and the product B D, which makes a sample of a standard normal vector."""

    axes: Rows
    scaled: Rows

    def step(self, z: list[float]) -> list[float]:
        """y = B D z, distributed as N(0, C)."""
        return [dot(row, z) for row in self.scaled]


def factors(distribution: Distribution) -> Factors:
    return _factors(tuple(map(tuple, distribution["covariance"])))


@lru_cache(maxsize=4)
def _factors(lower: Rows) -> Factors:
    axes, squares = eigen.decomposition(lower)
    lengths = [sqrt(max(square, 0.0)) for square in squares]
    return Factors(axes, tuple(tuple(map(mul, row, lengths)) for row in axes))


def sample(distribution: Distribution, factored: Factors, z: list[float]) -> list[float]:
    """x = m + sigma y."""
    sigma = distribution["sigma"]
    return [m + sigma * y for m, y in zip(distribution["mean"], factored.step(z))]


def update(
    distribution: Distribution, sampled: list[list[float]], generation: int, strategy: Strategy
) -> None:
    """Moves the distribution towards what was ranked best.

    `sampled` has the standard normal vectors of the whole population, best first; `generation`
    counts from 0.
    """
    factored = factors(distribution)
    best = sampled[: strategy.mu]
    z_mean = [dot(strategy.weights, column) for column in zip(*best)]
    y_mean = factored.step(z_mean)
    sigma = distribution["sigma"]
    distribution["mean"] = [m + sigma * y for m, y in zip(distribution["mean"], y_mean)]
    # C^(-1/2) y = B z
    whitened = [dot(row, z_mean) for row in factored.axes]
    length = _step_size_path(distribution, whitened, strategy)
    decay = 1.0 - exp(2.0 * (generation + 1) * log(1.0 - strategy.c_sigma))
    n = len(z_mean)
    moving = length / sqrt(decay) < (1.4 + 2.0 / (n + 1)) * strategy.expected_norm
    _covariance_path(distribution, y_mean, moving, strategy)
    _covariance(distribution, factored, sampled, moving, strategy)
    change = strategy.c_sigma / strategy.d_sigma * (length / strategy.expected_norm - 1.0)
    distribution["sigma"] = sigma * exp(min(change, _LARGEST_STEP))


def _step_size_path(
    distribution: Distribution, whitened: list[float], strategy: Strategy
) -> float:
    """Equation 43; the length of the new path."""
    c = strategy.c_sigma
    gain = sqrt(c * (2.0 - c) * strategy.mu_eff)
    path = [(1.0 - c) * p + gain * w for p, w in zip(distribution["path_sigma"], whitened)]
    distribution["path_sigma"] = path
    return norm(path)


def _covariance_path(
    distribution: Distribution, y_mean: list[float], moving: bool, strategy: Strategy
) -> None:
    """Equation 45: stalled while the step size grows fast."""
    c = strategy.c_c
    gain = sqrt(c * (2.0 - c) * strategy.mu_eff) if moving else 0.0
    old = distribution["path_covariance"]
    distribution["path_covariance"] = [(1.0 - c) * p + gain * y for p, y in zip(old, y_mean)]


def _covariance(
    distribution: Distribution,
    factored: Factors,
    sampled: list[list[float]],
    moving: bool,
    strategy: Strategy,
) -> None:
    """Equation 47: the rank-one and the rank-mu update, the worse half with negative weights."""
    n = len(distribution["mean"])
    weights = [
        strategy.c_mu * (w if w >= 0 else w * n / max(dot(z, z), 1e-300))
        for w, z in zip(strategy.weights, sampled)
    ]
    # the sum of the weights, of which the best half is 1
    total = dot(strategy.weights, [1.0] * len(strategy.weights))
    stall = 0.0 if moving else strategy.c_c * (2.0 - strategy.c_c)
    keep = 1.0 + strategy.c_1 * stall - strategy.c_1 - strategy.c_mu * total
    steps = [factored.step(z) for z in sampled]
    weights.append(strategy.c_1)
    steps.append(distribution["path_covariance"])
    columns = list(zip(*steps))
    weighted = [[w * y for w, y in zip(weights, column)] for column in columns]
    distribution["covariance"] = [
        [keep * old + dot(left, right) for old, right in zip(row, columns)]
        for row, left in zip(distribution["covariance"], weighted)
    ]
