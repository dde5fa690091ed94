"""Linear algebra for symmetric positive definite matrices, as lists of rows."""

from math import sqrt
from operator import mul

Vector = list[float]
Matrix = list[Vector]


def dot(one: Vector, other: Vector) -> float:
    """The scalar product."""
    return sum(map(mul, one, other))


def cholesky(matrix: Matrix) -> Matrix:
    """The rows of the lower triangle L with L L' = matrix, each up to its diagonal.

    Raises ArithmeticError when the matrix is not positive definite.
    """
    factor: Matrix = []
    for number, row in enumerate(matrix):
        found: Vector = []
        for column in range(number):
            known = factor[column]
            found.append((row[column] - dot(found, known)) / known[column])
        rest = row[number] - dot(found, found)
        if not rest > 0:
            raise ArithmeticError(f"the matrix is not positive definite: row {number}")
        found.append(sqrt(rest))
        factor.append(found)
    return factor


def solve(factor: Matrix, vector: Vector) -> Vector:
    """The x with L L' x = vector."""
    forward: Vector = []
    for row, value in zip(factor, vector, strict=True):
        forward.append((value - dot(row, forward)) / row[-1])
    solution = forward[:]
    for number in range(len(factor) - 1, -1, -1):
        solution[number] /= factor[number][number]
        for column in range(number):
            solution[column] -= factor[number][column] * solution[number]
    return solution


def inverse(factor: Matrix) -> Matrix:
    """The inverse of L L'."""
    size = len(factor)
    unit = [[float(row == column) for column in range(size)] for row in range(size)]
    return [solve(factor, row) for row in unit]
