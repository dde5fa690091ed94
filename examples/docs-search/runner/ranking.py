"""Ranking: how well each topic answers a query, under the parameters in the state."""

from collections.abc import Iterable, Mapping
from operator import mul
from typing import Any, NamedTuple

from runner.index import FIELDS, Index, index, rarity
from runner.words import terms

BODY = FIELDS.index("body")

# What the state says of a word; a word it does not know has these.
UNKNOWN_WORD_WEIGHT = 1.0


class Hit(NamedTuple):
    """A topic and its score; higher answers better."""

    topic: str
    score: float


def distinct(query: str) -> dict[str, float]:
    """The terms of a query, each with the weight 1."""
    return dict.fromkeys(terms(query), 1.0)


def word_weight(state: Mapping[str, Any], word: str) -> float:
    """How much the state says that a word of a question says."""
    return state["words"].get(word, UNKNOWN_WORD_WEIGHT)


def topics_of(state: Mapping[str, Any], word: str) -> Mapping[str, float]:
    """The topics that the state has learned for a word of a question, and how strongly."""
    return state["associations"].get(word, {})


def saturated(frequency: int, k1: float, length_ratio: float, b: float) -> float:
    """BM25's term frequency: grows ever slower, and slower in a long document (Robertson and Zaragoza, 2009)."""
    return frequency * (k1 + 1) / (frequency + k1 * (1 - b + b * length_ratio))


def field_values(word: str, ranking: Mapping[str, Any], over: Index, numbers: Iterable[int]) -> dict[int, list[float]]:
    """What a word contributes to these documents, a value per field, before the weights. Documents without it are left out."""
    k1, b, rare = ranking["k1"], ranking["b"], rarity(word)
    values = {}
    for number in numbers:
        document = over.documents[number]
        frequency = document.counts[BODY].get(word)
        if frequency:
            row = [rare if word in counts else 0.0 for counts in document.counts]
            row[BODY] = rare * saturated(frequency, k1, document.length / over.mean_length, b)
            values[number] = row
    return values


def by_words(query: Mapping[str, float], state: Mapping[str, Any], over: Index) -> list[float]:
    """How many of the query's words a topic has."""
    return [sum(weight for word, weight in query.items() if word in document.counts[BODY]) for document in over.documents]


def by_frequency(query: Mapping[str, float], state: Mapping[str, Any], over: Index) -> list[float]:
    """How often a topic has the query's words, rare words counting more."""
    rarities = {word: weight * rarity(word) for word, weight in query.items()}
    return [
        sum(rarity * document.counts[BODY][word] for word, rarity in rarities.items()) / document.length**0.5 for document in over.documents
    ]


def by_bm25(query: Mapping[str, float], state: Mapping[str, Any], over: Index) -> list[float]:
    """BM25 over the body alone."""
    everywhere = range(len(over.documents))
    scores = [0.0] * len(over.documents)
    for word, weight in query.items():
        for number, row in field_values(word, state["ranking"], over, everywhere).items():
            scores[number] += weight * row[BODY]
    return scores


def by_fields(query: Mapping[str, float], state: Mapping[str, Any], over: Index) -> list[float]:
    """Every field with its weight, every word with its weight, and the topics that the state has learned for a word."""
    weights = [state["ranking"]["fields"][field] for field in FIELDS]
    numbers = over.numbers
    everywhere = range(len(over.documents))
    scores = [0.0] * len(over.documents)
    for word, weight in query.items():
        weight *= word_weight(state, word)
        for number, row in field_values(word, state["ranking"], over, everywhere).items():
            scores[number] += weight * sum(map(mul, row, weights))
        for topic, learned in topics_of(state, word).items():
            if topic in numbers:
                scores[numbers[topic]] += weight * learned
    return scores


STRATEGIES = {"words": by_words, "frequency": by_frequency, "bm25": by_bm25, "fields": by_fields}


def rank(query: Mapping[str, float], strategy: str, state: Mapping[str, Any], limit: int) -> list[Hit]:
    """The best `limit` topics for weighted query words, best first; equal scores in order of name."""
    over = index()
    scores = STRATEGIES[strategy](query, state, over)
    hits = [Hit(document.topic, round(score, 4)) for document, score in zip(over.documents, scores, strict=True) if score > 0]
    return sorted(hits, key=lambda hit: (-hit.score, hit.topic))[:limit]
