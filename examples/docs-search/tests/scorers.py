"""Scorers that the cases name. Each takes a case and the result of its call, and gives a score from 0 to 1."""


def mrr(case: dict, result: dict) -> float:
    """Reciprocal rank: 1 when the first topic found answers the query, 1/2 for the second, 0 when none does."""
    relevant = case["expect"]["scorer"]["relevant"]
    found = [hit["topic"] for hit in result["structuredContent"]["hits"]]
    return next((1 / rank for rank, topic in enumerate(found, start=1) if topic in relevant), 0.0)


def answered(case: dict, result: dict) -> float:
    """1 when the best topic answers the question, 1/2 when another one that was offered does."""
    relevant = case["expect"]["scorer"]["relevant"]
    answer = result["structuredContent"]
    if answer["topic"] in relevant:
        return 1.0
    return 0.5 if any(topic in relevant for topic in answer["others"]) else 0.0
