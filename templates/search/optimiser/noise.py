"""Noisy values: how many evaluations a candidate takes, adapted to what their ranks show.

UH-CMA-ES (Hansen, Niederberger, Guzzella and Koumoutsakos, IEEE Transactions on Evolutionary
Computation 13, 2009): a few candidates of each generation are evaluated again. Where their ranks
change by more than chance among equals would change them, each candidate of the next generation
takes more evaluations, whose mean is ranked; at the largest number of evaluations the step size
grows in their place. Where ranks hold, fewer evaluations are taken.
"""

from math import floor

_THETA = 0.2
_MORE = 1.5
_FEWER = 1.5**-0.25
_SMOOTHING = 0.3


def evaluated_again(size: int) -> int:
    """How many candidates of a generation are evaluated again."""
    return max(2, round(0.1 * size))


def uncertainty(first: list[float], again: list[float]) -> float:
    """s of the paper: above 0 where ranks change by more than the limit.

    `first` has a value of each candidate, `again` the second values of the first few of them. Ranks
    are those among all first and all second values, where the rest have their first value twice.
    """
    pool = sorted(first + again + first[len(again) :])
    total = 0.0
    for old, new in zip(first, again):
        rank_old = pool.index(old) + 1 - (old > new)
        rank_new = pool.index(new) + 1 - (new > old)
        limits = _limit(rank_new, len(first)) + _limit(rank_old, len(first))
        total += 2.0 * abs(rank_new - rank_old) - limits
    return total / len(again)


def _limit(rank: int, size: int) -> float:
    """The change of rank that a share theta of uniformly random changes stays below, halved."""
    changes = sorted(abs(other - rank) for other in range(1, 2 * size))
    place = _THETA * 0.5 * (len(changes) - 1)
    low = floor(place)
    return changes[low] + (place - low) * (changes[low + 1] - changes[low])


def adapted(
    level: float, evaluations: float, most: int, measured: float
) -> tuple[float, float, bool]:
    """The smoothed uncertainty, the evaluations that each candidate takes next, and whether the
    step size has to grow because they are at their largest number."""
    level = (1.0 - _SMOOTHING) * level + _SMOOTHING * measured
    if level <= 0.0:
        return level, max(1.0, evaluations * _FEWER), False
    return level, min(float(most), evaluations * _MORE), evaluations >= most
