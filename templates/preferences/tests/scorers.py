"""Scorers of the cases. Each takes a case and its call's result, and returns a score (0 to 1)."""

OUTCOMES = ("first", "second", "tie")


def brier(case: dict, result: dict) -> float:
    """1 less half the Brier score (Brier, 1950) of the estimated outcome of a judgement.

    1 when the outcome was certain, 3/4 when `compare` knew nothing and expected no tie. It is a
    proper score: no estimate scores better on average than the true probabilities.
    """
    judged = case["expect"]["scorer"]["judged"]
    estimated = result["structuredContent"]
    squares = ((estimated[name] - (name == judged)) ** 2 for name in OUTCOMES)
    return 1 - sum(squares) / 2
