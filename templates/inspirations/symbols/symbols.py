"""Operators and other symbols as terms of their own, beside the words."""

import re

from runner import words

# The longest first, so that `**=` is not three symbols. Plain punctuation of sentences is none.
SYMBOL = re.compile(r"\.\.\.|\*\*=?|//=?|<<=?|>>>?=?|->|:=|[=!<>]=|[-+*/%@&|^~<>]=?")


def terms(text: str) -> list[str]:
    """The words of a text as the index counts them, and its symbols."""
    return words.terms(text) + SYMBOL.findall(text)
