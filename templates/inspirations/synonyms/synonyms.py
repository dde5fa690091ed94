"""Everyday words and the terms of Python's documentation for them."""

from functools import cache

from runner.words import terms

SYNONYM_WEIGHT = 0.4

SYNONYMS = {
    "array": ("list", "sequence"),
    "attribute": ("property",),
    "callback": ("callable",),
    "catch": ("except", "handler"),
    "check": ("test",),
    "condition": ("boolean", "expression"),
    "constructor": ("init", "new"),
    "crash": ("exception", "traceback"),
    "delete": ("del", "deletion"),
    "dictionary": ("dict", "mapping"),
    "divide": ("division",),
    "dunder": ("special", "method"),
    "error": ("exception",),
    "exit": ("terminate",),
    "exponent": ("power",),
    "field": ("attribute",),
    "handle": ("except",),
    "hash": ("mapping",),
    "inherit": ("base", "class"),
    "iterate": ("for", "iterator"),
    "leave": ("break", "terminate"),
    "letter": ("character", "string"),
    "loop": ("for", "while"),
    "magic": ("special",),
    "minus": ("negation", "subtraction"),
    "multiply": ("multiplication",),
    "null": ("none",),
    "package": ("module",),
    "parameter": ("argument",),
    "plus": ("addition",),
    "remainder": ("modulo",),
    "remove": ("del", "deletion"),
    "repeat": ("loop", "while"),
    "skip": ("continue",),
    "subclass": ("base", "inheritance"),
    "substring": ("slice", "string"),
    "switch": ("match", "case"),
    "text": ("string", "str"),
    "throw": ("raise",),
    "truthy": ("true", "truth"),
    "falsy": ("false", "truth"),
    "variable": ("name", "binding"),
}


@cache
def by_term() -> dict[str, tuple[str, ...]]:
    """The same, keyed by the index's form of each word."""
    return {term: others for word, others in SYNONYMS.items() for term in terms(word)}


def meant_by(term: str) -> tuple[str, ...]:
    """The documentation's words for a term of a question; none for most."""
    return by_term().get(term, ())
