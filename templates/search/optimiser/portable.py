"""Elementary functions whose last bit is the same on every machine.

`math.exp` and `math.log` are the C library's: two of them may differ in the last bit, and a search
amplifies one bit into another path. These use only operations that IEEE 754 rounds exactly.
"""

from collections.abc import Iterable, Sequence
from math import floor, frexp, fsum, ldexp, sqrt
from operator import mul

LN2_HIGH = 0.6931471803691238  # ln 2 in two parts (Cody and Waite, 1980): products with it by
LN2_LOW = 1.9082149292705877e-10  # a small integer are exact
_ROOT_HALF = sqrt(0.5)
_LOG_TERMS = tuple(2.0 / (2 * k + 1) for k in range(11, -1, -1))
_EXP_TERMS = 15


def dot(one: Iterable[float], other: Iterable[float]) -> float:
    """The sum of products. `sum` rounds otherwise from Python 3.12 on; `fsum` rounds once."""
    return fsum(map(mul, one, other))


def norm(vector: Sequence[float]) -> float:
    return sqrt(dot(vector, vector))


def log(x: float) -> float:
    """The natural logarithm of x > 0, within 2 units in the last place.

    x = m 2^e with m around 1, and log m = 2 artanh((m - 1) / (m + 1)) as its power series.
    """
    if not x > 0.0:
        raise ValueError(f"log of {x}: the logarithm needs a positive number")
    mantissa, exponent = frexp(x)
    if mantissa < _ROOT_HALF:
        mantissa, exponent = 2.0 * mantissa, exponent - 1
    s = (mantissa - 1.0) / (mantissa + 1.0)
    square, series = s * s, 0.0
    for term in _LOG_TERMS:
        series = series * square + term
    return exponent * LN2_HIGH + (s * series + exponent * LN2_LOW)


def exp(x: float) -> float:
    """e to the x, within 2 units in the last place; 0 below -745, OverflowError above 709.8.

    x = k ln 2 + r with |r| <= ln 2 / 2, and e^r by its power series.
    """
    if x < -745.0:
        return 0.0
    power = floor(x / (LN2_HIGH + LN2_LOW) + 0.5)
    r = (x - power * LN2_HIGH) - power * LN2_LOW
    series = 1.0
    for term in range(_EXP_TERMS, 0, -1):
        series = 1.0 + series * r / term
    return ldexp(series, power)
