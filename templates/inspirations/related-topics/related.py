"""Topics near a topic: the cosine of their word counts, rare words counting more."""

from collections.abc import Mapping
from functools import cache
from math import log, sqrt

from runner.index import index, rarity


@cache
def vectors() -> dict[str, dict[str, float]]:
    """Each topic's words, weighted by how often it has them and how rare they are, at length 1."""
    return {document.topic: at_length_one(document.counts[-1]) for document in index().documents}


def at_length_one(counts: Mapping[str, int]) -> dict[str, float]:
    """The weights of a topic's words, scaled so that their squares sum to 1."""
    weights = {word: (1 + log(count)) * rarity(word) for word, count in counts.items()}
    length = sqrt(sum(weight * weight for weight in weights.values())) or 1.0
    return {word: weight / length for word, weight in weights.items()}


def nearest(topic: str, k: int) -> list[str]:
    """The k topics nearest to one, the nearest first."""
    here = vectors()[topic]
    likeness = {
        other: sum(weight * there.get(word, 0.0) for word, weight in here.items())
        for other, there in vectors().items()
        if other != topic
    }
    return sorted(likeness, key=lambda other: (-likeness[other], other))[:k]
