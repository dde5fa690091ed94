"""Word counts of every topic, by field. Counting takes a few hundredths of a second, once per process."""

from collections import Counter
from functools import cache, lru_cache
from math import log
from typing import NamedTuple

from runner.topics import Topic, load, sources
from runner.words import terms

FIELDS = ("name", "title", "headings", "lead", "body")
LEAD_CHARACTERS = 400


class Document(NamedTuple):
    """The word counts of one topic: one counter per field, in the order of FIELDS, and the body's length in words."""

    topic: str
    counts: tuple[Counter[str], ...]
    length: int


class Index(NamedTuple):
    """All documents, the number of each by topic, and the mean length of their bodies in words."""

    documents: tuple[Document, ...]
    numbers: dict[str, int]
    mean_length: float


def count(document: Topic) -> Document:
    """The word counts of a topic. The body holds every word of the other fields too."""
    name, title = terms(document.name), terms(document.title)
    body = Counter(terms(document.text))
    body.update(name)
    body.update(title)
    counts = (
        Counter(name),
        Counter(title),
        Counter(terms(" ".join(document.headings))),
        Counter(terms(document.text[:LEAD_CHARACTERS])),
        body,
    )
    return Document(document.name, counts, body.total())


@cache
def index() -> Index:
    """The index over all topics of this Python."""
    documents = tuple(count(load(name)) for name in sources())
    numbers = {document.topic: number for number, document in enumerate(documents)}
    return Index(documents, numbers, sum(document.length for document in documents) / len(documents))


@lru_cache(maxsize=8192)
def rarity(word: str) -> float:
    """Inverse document frequency as BM25 defines it, never negative; 0 for a word that no document has."""
    documents = index().documents
    holding = sum(word in document.counts[-1] for document in documents)
    return log(1 + (len(documents) - holding + 0.5) / (holding + 0.5)) if holding else 0.0
