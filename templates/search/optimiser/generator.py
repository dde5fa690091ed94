"""Random numbers as a function of a seed and an index: the state is two integers.

SplitMix64 (Steele, Lea and Flood, 2014) with its counter as an argument: the index-th number is a
hash of the index, so any number of a sequence can be made again without those before it.
"""

from math import sqrt

from optimiser.portable import log

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_ATTEMPTS = 64  # for a pair; the chance to need more is (1 - pi / 4) ** 64, about 1e-43


def _mixed(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def uniform(seed: int, index: int) -> float:
    """The index-th number of the seed's sequence, in (0, 1)."""
    hashed = _mixed((_mixed(seed & _MASK) + (index + 1) * _GOLDEN) & _MASK)
    return ((hashed >> 11) + 0.5) * 2.0**-53


def normals(seed: int, first: int, count: int) -> list[float]:
    """Independent standard normal numbers, by the polar method (Marsaglia and Bray, 1964).

    They use the indices from `first * 128` on, 128 for each pair.
    """
    numbers: list[float] = []
    for pair in range(first, first + (count + 1) // 2):
        for attempt in range(_ATTEMPTS):
            index = (pair * _ATTEMPTS + attempt) * 2
            u = 2.0 * uniform(seed, index) - 1.0
            v = 2.0 * uniform(seed, index + 1) - 1.0
            square = u * u + v * v
            if 0.0 < square < 1.0:
                break
        scale = sqrt(-2.0 * log(square) / square)
        numbers += (u * scale, v * scale)
    return numbers[:count]


def of_text(text: str) -> float:
    """A number in (0, 1) that depends on the text alone."""
    value = 0
    for byte in text.encode():
        value = _mixed((value * 257 + byte + _GOLDEN) & _MASK)
    return uniform(value, 0)


def uniforms(seed: int, first: int, count: int) -> list[float]:
    """Independent numbers in (0, 1). They use indices as `normals` does: `blocks(count)` pairs."""
    return [uniform(seed, first * 2 * _ATTEMPTS + index) for index in range(count)]


def blocks(count: int) -> int:
    """How many pairs' indices `uniforms` uses for so many numbers."""
    return -(-count // (2 * _ATTEMPTS))
