"""The choice of the next pair to be judged: the one with the largest expected information gain.

With the posterior approximated by a Gaussian, a judgement of a pair reduces the entropy of the
strengths by about 1/2 log(1 + I v), where I is the Fisher information of the judgement about the
difference of the two strengths and v the variance of that difference (Bayesian D-optimality,
Chaloner and Verdinelli, 1995). So it prefers pairs that are uncertain and whose outcome is open.
"""

from collections.abc import Container, Mapping
from hashlib import sha256
from itertools import combinations
from math import log1p

from runner.davidson import Fit

DECIMALS = 9  # gains that differ by rounding alone are equal


def gain(fit: Fit, first: int, second: int) -> float:
    """The expected information gain of judging a pair, in nats."""
    information = fit.outcomes(first, second).information
    return round(log1p(information * fit.variance(first, second)) / 2, DECIMALS)


def draw(conversation: str, first: str, second: str) -> bytes:
    """A pseudorandom value of a pair in a conversation: the same for the same arguments."""
    return sha256(f"{conversation}\n{first}\n{second}".encode()).digest()


def next_pair(
    fit: Fit, numbers: Mapping[str, int], conversation: str, judged: Container[tuple[str, str]]
) -> tuple[str, str]:
    """The pair to judge next, in the order in which to show it.

    `numbers` has the number of each item to choose from, by name. Pairs of `judged`, whose names
    are sorted, come last. Pairs of equal gain and the order within a pair are drawn by a hash of
    the conversation, so that no position is favoured.
    """

    def rank(pair: tuple[str, str]) -> tuple[bool, float, bytes]:
        first, second = pair
        expected = gain(fit, numbers[first], numbers[second])
        return pair in judged, -expected, draw(conversation, first, second)

    first, second = min(combinations(sorted(numbers), 2), key=rank)
    return (first, second) if draw(conversation, first, second)[0] % 2 else (second, first)
