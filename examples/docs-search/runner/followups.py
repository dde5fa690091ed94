"""Follow-up questions: "and how do I do that with two of them?" means the topic that was talked about."""

from collections.abc import Mapping
from typing import Any

from runner.words import words

OPENERS = frozenset({"and", "but", "also", "then", "so"})
POINTERS = frozenset({"it", "its", "that", "this", "them", "they", "those", "these", "one", "ones", "there"})
REMEMBERED_WORDS = 12


def is_followup(question: str) -> bool:
    """Whether the question leans on what was said: it opens with a joining word or points back."""
    asked = words(question)
    return bool(asked) and (asked[0] in OPENERS or asked[:2] == ["what", "about"] or not POINTERS.isdisjoint(asked))


def with_memory(query: Mapping[str, float], memory: Mapping[str, Any], weight: float) -> dict[str, float]:
    """The query with the words of the turns before, which count less than what is asked now."""
    joined = {word: value * weight for word, value in memory.get("words", {}).items()}
    return joined | dict(query)


def remember(query: Mapping[str, float], topic: str) -> dict[str, Any]:
    """What the conversation keeps for its next turn: the topic, and the weightiest words of the question."""
    kept = sorted(query, key=lambda word: (-query[word], word))[:REMEMBERED_WORDS]
    return {"topic": topic, "words": {word: round(query[word], 4) for word in kept}}
