"""What a word is, for the documents and the questions alike."""

import re

WORD = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)*")


def words(text: str) -> list[str]:
    """The words of a text in order, lower case; the outer underscores of names such as `__init__` fall away."""
    return WORD.findall(text.lower())


def terms(text: str) -> list[str]:
    """What the index counts and a question looks for: every word as it is written."""
    return words(text)
