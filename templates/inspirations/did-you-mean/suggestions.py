"""Known words that look like the unknown ones of a question."""

from difflib import get_close_matches
from functools import cache

from runner.topics import load, sources
from runner.words import words

SHORTEST = 4
MOST = 5
ALIKE = 0.8  # of 1, which is the same word


@cache
def known_words() -> frozenset[str]:
    """Every word of every topic, unstemmed."""
    return frozenset(word for name in sources() for word in words(load(name).text))


def meant(question: str) -> list[str]:
    """At most MOST known words for the question's unknown ones, the most similar first."""
    unknown = [word for word in words(question) if len(word) >= SHORTEST and word not in known_words()]
    candidates = sorted(known_words()) if unknown else []
    suggested = [match for word in unknown for match in get_close_matches(word, candidates, n=2, cutoff=ALIKE)]
    return list(dict.fromkeys(suggested))[:MOST]
