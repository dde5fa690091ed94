"""Ridge regression from sums: the posterior of one arm's linear reward model.

With A the sum of x xᵀ, b the sum of r x and λ the ridge, the estimate of the weights is
θ = (A + λI)⁻¹ b, and xᵀ(A + λI)⁻¹x measures the uncertainty at x (Li et al., 2010). A is symmetric
and kept as its lower triangle, row by row.
"""

from functools import lru_cache
from math import sqrt
from operator import mul

MILLIONTH = 1e-6
KEPT = 64  # posteriors in memory: 0.15 MB each with 64 features

Rows = list[list[float]]


@lru_cache(maxsize=KEPT)
def posterior(packed: tuple[float, ...], moment: tuple[float, ...], ridge: float) -> "Posterior":
    """The posterior of sums in millionths. Equal sums are factorised once."""
    return Posterior(packed, moment, ridge)


class Posterior:
    """The Cholesky factor of A + λI, and θ."""

    __slots__ = ("factor", "weights")

    def __init__(self, packed: tuple[float, ...], moment: tuple[float, ...], ridge: float) -> None:
        self.factor = cholesky(packed, len(moment), ridge)
        scaled = [value * MILLIONTH for value in moment]
        self.weights = backward(self.factor, forward(self.factor, scaled))

    def mean(self, x: list[float]) -> float:
        """The estimate of the reward at x: θᵀx."""
        return sum(map(mul, self.weights, x))

    def width(self, x: list[float]) -> float:
        """√(xᵀ(A + λI)⁻¹x), the standard deviation at x where a reward's is 1."""
        z = forward(self.factor, x)
        return sqrt(sum(map(mul, z, z)))


def cholesky(packed: tuple[float, ...], size: int, ridge: float) -> Rows:
    """The rows of the lower triangular L with L Lᵀ = A + λI; A in millionths, packed."""
    rows: Rows = []
    start = 0
    for number in range(size):
        row: list[float] = []
        for column, above in enumerate(rows):
            # `map` ends with the shorter one, which is the part of the row that is known
            rest = packed[start + column] * MILLIONTH - sum(map(mul, row, above))
            row.append(rest / above[column])
        start += number + 1
        square = packed[start - 1] * MILLIONTH + ridge - sum(map(mul, row, row))
        if square <= 0:
            raise ValueError(
                "an arm's A is no sum of x xᵀ (A + ridge is not positive definite): "
                "remove A, b and windowed of the arm, or raise policy.ridge"
            )
        row.append(sqrt(square))
        rows.append(row)
    return rows


def forward(rows: Rows, right: list[float]) -> list[float]:
    """Solves L z = right."""
    z: list[float] = []
    for row, value in zip(rows, right, strict=True):
        z.append((value - sum(map(mul, z, row))) / row[-1])
    return z


def backward(rows: Rows, right: list[float]) -> list[float]:
    """Solves Lᵀ z = right."""
    z = list(right)
    for number in range(len(rows) - 1, -1, -1):
        row = rows[number]
        z[number] /= row[-1]
        for column in range(number):
            z[column] -= row[column] * z[number]
    return z
