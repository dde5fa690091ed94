"""When one run of CMA-ES has come to its end: the criteria that IPOP restarts on.

Auger and Hansen, A Restart CMA Evolution Strategy With Increasing Population Size (CEC 2005), and
appendix B.3 of the tutorial (arXiv:1604.00772). Lengths are those of the optimiser's coordinates,
where the range of a parameter is 1.
"""

from math import sqrt
from typing import Any

from optimiser import eigen
from optimiser.distribution import Distribution
from optimiser.space import Space, ordered

SMALLEST_STEP = 1e-12
LARGEST_STEP = 1e3
LARGEST_CONDITION = 1e14


def kept_generations(n: int, size: int) -> int:
    """Of how many generations the best value is kept."""
    return 10 + -(-30 * n // size)


def stop(search: dict[str, Any], costs: list[float]) -> str | None:
    """Why the run has converged or cannot go on; None while it can.

    `costs` are those of the generation that has just ended.
    """
    n, size = len(search["space"]), search["population"]
    tolerance = search["settings"]["tolerance"]
    if _is_flat(search["recent"], kept_generations(n, size), costs, tolerance):
        return "tolfun"
    if search["generation"] - search["improved"] > 120 + 30 * n / size:
        return "stagnation"
    return _shape(search["distribution"], search["space"])


def _is_flat(recent: list[float], kept: int, costs: list[float], tolerance: float) -> bool:
    everything = recent + costs
    return len(recent) >= kept and max(everything) - min(everything) <= tolerance


def _shape(distribution: Distribution, space: Space) -> str | None:
    sigma, covariance = distribution["sigma"], distribution["covariance"]
    deviations = [sqrt(row[-1]) for row in covariance]
    path = distribution["path_covariance"]
    steps = [
        sigma * max(deviation, abs(move))
        for deviation, move, (_, parameter) in zip(deviations, path, ordered(space))
        if not parameter.get("integer")
    ]
    if steps and max(steps) < SMALLEST_STEP:
        return "tolx"
    if sigma * max(deviations) > LARGEST_STEP:
        return "tolxup"
    squares = eigen.decomposition(tuple(map(tuple, covariance)))[1]
    if not 0.0 < max(squares) <= LARGEST_CONDITION * min(squares):
        return "conditioncov"
    return None
