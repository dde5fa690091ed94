"""The passage of a topic that answers a question."""

import re
from collections.abc import Iterable

from runner.index import rarity
from runner.topics import load
from runner.words import terms

LONGEST = 600
# In words: a longer paragraph holds more of a question by chance alone, a shorter one hardly says anything.
USUAL_LENGTH, SHORT_LENGTH = 60, 20
# How much less the last paragraph of a topic counts than the first, which says what it is about.
FADING = 0.3
# A rule of the grammar, as Python 3.14 writes it or those before. It is no answer to a question in words.
GRAMMAR = re.compile(r"[a-z_]+\s*(::=|:)\s")


def passage(name: str, asked: Iterable[str]) -> str:
    """The paragraph of the topic with most of the question's rare words; the first one when none has any."""
    prose = [paragraph for paragraph in load(name).paragraphs() if not GRAMMAR.match(paragraph)]
    wanted = {word: rarity(word) for word in asked}
    best, best_score = "", 0.0
    paragraphs = prose or load(name).paragraphs()
    for number, paragraph in enumerate(paragraphs):
        held = terms(paragraph)
        fit = min(1.0, len(held) / SHORT_LENGTH) / (1 + len(held) / USUAL_LENGTH) * (1 - FADING * number / len(paragraphs))
        score = fit * sum(wanted[word] for word in wanted.keys() & set(held))
        if not best or score > best_score:
            best, best_score = paragraph, score
    return shortened(best)


def shortened(text: str) -> str:
    """The text, cut after a word with an ellipsis where it is longer than LONGEST characters."""
    return text if len(text) <= LONGEST else text[:LONGEST].rsplit(" ", 1)[0] + " ..."
