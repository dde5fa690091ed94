"""The eigendecomposition of a symmetric matrix, by cyclic Jacobi rotations.

Golub and Van Loan, Matrix Computations, 4th edition, section 8.5. Small matrices only: a rotation
for each of n (n - 1) / 2 pairs, in about 6 sweeps over them.
"""

from functools import lru_cache
from math import copysign, sqrt

_SWEEPS = 60
_NEGLIGIBLE = 1e-16  # of the geometric mean of the two diagonal elements

Rows = tuple[tuple[float, ...], ...]


@lru_cache(maxsize=4)
def decomposition(lower: Rows) -> tuple[Rows, tuple[float, ...]]:
    """(V, w) of the matrix with this lower triangle: column j of V is the eigenvector of w[j].

    A function of its argument, so what it remembers changes its speed alone.
    """
    size = len(lower)
    matrix = [[lower[max(i, j)][min(i, j)] for j in range(size)] for i in range(size)]
    vectors = [[float(i == j) for j in range(size)] for i in range(size)]  # rows: eigenvectors
    for _ in range(_SWEEPS):
        if not _sweep(matrix, vectors):
            break
    return tuple(zip(*vectors, strict=True)), tuple(matrix[i][i] for i in range(size))


def _sweep(matrix: list[list[float]], vectors: list[list[float]]) -> bool:
    """Rotates each pair of axes once; False where none needed it."""
    rotated = False
    for p in range(len(matrix) - 1):
        for q in range(p + 1, len(matrix)):
            off = matrix[p][q]
            if abs(off) > _NEGLIGIBLE * sqrt(abs(matrix[p][p] * matrix[q][q])):
                _rotate(matrix, vectors, p, q)
                rotated = True
    return rotated


def _rotate(matrix: list[list[float]], vectors: list[list[float]], p: int, q: int) -> None:
    """The rotation of the axes p and q that makes their off-diagonal element zero."""
    row_p, row_q = matrix[p], matrix[q]
    off = row_p[q]
    theta = (row_q[q] - row_p[p]) / (2.0 * off)
    t = copysign(1.0, theta) / (abs(theta) + sqrt(theta * theta + 1.0))
    c = 1.0 / sqrt(t * t + 1.0)
    s = t * c
    diagonal = row_p[p] - t * off, row_q[q] + t * off
    new_p = [c * x - s * y for x, y in zip(row_p, row_q, strict=True)]
    new_q = [s * x + c * y for x, y in zip(row_p, row_q, strict=True)]
    new_p[p], new_q[q] = diagonal
    new_p[q] = new_q[p] = 0.0
    matrix[p], matrix[q] = new_p, new_q
    for row, of_p, of_q in zip(matrix, new_p, new_q, strict=True):
        if row is not new_p and row is not new_q:
            row[p], row[q] = of_p, of_q
    vectors[p], vectors[q] = (
        [c * x - s * y for x, y in zip(vectors[p], vectors[q], strict=True)],
        [s * x + c * y for x, y in zip(vectors[p], vectors[q], strict=True)],
    )
