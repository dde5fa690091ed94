"""Scorers of the cases. Each takes a case and its call's result, and returns a score (0 to 1)."""

YEAR = 12


def closer(case: dict, result: dict) -> float:
    """The error of the seasonal naive forecast, as a share of its sum with the forecast's own.

    1 is a perfect forecast, 1/2 one that is as good as the values of a year before. Errors are mean
    absolute errors over the horizon.
    """
    truth = case["expect"]["scorer"]["truth"]
    naive = case["arguments"]["history"][-YEAR:]
    own = error(result["structuredContent"]["values"], truth)
    simple = error(naive, truth)
    return simple / (simple + own) if simple + own else 1.0


def error(forecast: list[float], truth: list[float]) -> float:
    return sum(abs(ahead - true) for ahead, true in zip(forecast, truth, strict=True)) / len(truth)
