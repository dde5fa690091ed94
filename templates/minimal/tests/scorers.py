"""Scorers of the cases. Each takes a case and its call's result, and returns a score (0 to 1)."""


def close(case: dict, result: dict) -> float:
    """1 for the true duration, 1/2 when the estimate is half or twice as long, and so on."""
    truth = case["expect"]["scorer"]["minutes"]
    said = result["structuredContent"]["minutes"]
    return min(truth, said) / max(truth, said) if truth and said else float(truth == said)
