"""Exponential smoothing with damped trend, seasons and clipped errors.

Holt-Winters in its form with a damped trend (Gardner and McKenzie, 1985), on logarithms where all
values are positive, so that seasons multiply. An error of one step ahead counts at most `clip`
times the usual one (Gelper, Fried and Croux, 2010), so that one outlier does not move the level.
"""

from collections.abc import Sequence
from math import exp, fsum, log
from typing import NamedTuple

SHARE = 0.1  # of a new error in the mean absolute error
LARGEST_EXPONENT = 700.0


class Smoothing(NamedTuple):
    """The state's `parameters`, by name."""

    level: float  # share of an error in the level
    trend: float  # the same for the trend, within the level's share
    season: float  # the same for the seasons
    damping: float  # of the trend from step to step; 1 does not damp
    period: int  # steps of a season; 1 is none
    clip: float  # largest error counted, in mean absolute errors


def forecast_of(history: Sequence[float], horizon: int, by: Smoothing) -> list[float]:
    """The next `horizon` values of a series."""
    positive = min(history) > 0
    values = [log(value) for value in history] if positive else list(history)
    level, trend, seasons = _smoothed(values, by)
    ahead, reach = [], 0.0
    for step in range(len(values), len(values) + horizon):
        reach = by.damping * (1.0 + reach)
        ahead.append(level + reach * trend + seasons[step % len(seasons)])
    return [exp(min(value, LARGEST_EXPONENT)) for value in ahead] if positive else ahead


def _smoothed(values: Sequence[float], by: Smoothing) -> tuple[float, float, list[float]]:
    """Level, trend and seasons after the last value."""
    level, trend, seasons = _start(values, by.period)
    usual = 0.0  # the mean absolute error of one step ahead
    for step, value in enumerate(values):
        place = step % len(seasons)
        error = value - (level + by.damping * trend + seasons[place])
        if usual > 0.0:
            error = min(max(error, -by.clip * usual), by.clip * usual)
        usual += (SHARE if usual > 0.0 else 1.0) * (abs(error) - usual)
        level += by.damping * trend + by.level * error
        trend = by.damping * trend + by.level * by.trend * error
        seasons[place] += by.season * (1.0 - by.level) * error
    return level, trend, seasons


def _mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)


def _start(values: Sequence[float], period: int) -> tuple[float, float, list[float]]:
    """Level, trend and seasons before the first value: from the first two seasons, if there are."""
    if period < 2 or len(values) < 2 * period:
        return values[0], 0.0, [0.0]
    first, second = _mean(values[:period]), _mean(values[period : 2 * period])
    trend = (second - first) / period
    level = first - trend * (period + 1) / 2
    over = [value - level - trend * (step + 1) for step, value in enumerate(values[: 2 * period])]
    return level, trend, [_mean(over[place::period]) for place in range(period)]
