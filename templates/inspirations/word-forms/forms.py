"""Word forms: plurals, endings and small typos: "looping", "loops" and "lop" find "loop"."""

from collections import Counter
from collections.abc import Mapping
from functools import cache, lru_cache

SHORTEST = 4  # shorter words are left as they are
VOWELS = frozenset("aeiouy")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
# Endings that do not change the meaning, the longest first; the rest must keep four letters.
ENDINGS = ("isation", "ization", "ation", "ment", "able", "ible", "ion", "ive", "or", "er", "al", "ly")


@lru_cache(maxsize=16384)
def stem(word: str) -> str:
    """The word without its usual endings. Names with digits or underscores stay as they are."""
    if len(word) < SHORTEST or not word.isalpha():
        return word
    word = without_tense(without_plural(word))
    for ending in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= SHORTEST:
            word = word[: -len(ending)]
            break
    if len(word) > SHORTEST and word.endswith(("e", "y", "i")):
        word = word[:-1]
    return word


def without_plural(word: str) -> str:
    """entries -> entry, classes -> class, loops -> loop; is, this and class stay."""
    if word.endswith("ies") and len(word) > SHORTEST:
        return word[:-3] + "y"
    if word.endswith("sses"):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def without_tense(word: str) -> str:
    """looping -> loop, stopped -> stop; sing and red stay."""
    for ending in ("ing", "ed"):
        root = word.removesuffix(ending)
        if root != word and len(root) >= 3 and not VOWELS.isdisjoint(root):
            doubled = root[-1] == root[-2] and root[-1] not in "lsz"
            return root[:-1] if doubled else root
    return word


@cache
def vocabulary() -> Counter[str]:
    """Every term of the index, with the number of topics that have it."""
    from runner.index import index

    known: Counter[str] = Counter()
    for document in index().documents:
        known.update(document.counts[-1].keys())
    return known


def one_slip(word: str) -> set[str]:
    """All words at edit distance one: a letter left out, put in, changed, or two swapped."""
    slips = set()
    for place in range(len(word) + 1):
        left, right = word[:place], word[place:]
        slips.update(left + letter + right for letter in LETTERS)
        if right:
            slips.add(left + right[1:])
            slips.update(left + letter + right[1:] for letter in LETTERS)
        if len(right) > 1:
            slips.add(left + right[1] + right[0] + right[2:])
    return slips


@lru_cache(maxsize=16384)
def corrected(term: str) -> str:
    """The term, or where no topic has it, the most frequent one at edit distance one."""
    known = vocabulary()
    if len(term) < SHORTEST or not term.isalpha() or term in known:
        return term
    near = known.keys() & one_slip(term)
    return max(near, key=lambda other: (known[other], other)) if near else term


@lru_cache(maxsize=8)
def by_stem(learned: tuple[str, ...]) -> dict[str, list[str]]:
    """The learned words, grouped by their stem."""
    groups: dict[str, list[str]] = {}
    for word in learned:
        for key in {word, stem(word)}:
            groups.setdefault(key, []).append(word)
    return groups


def weight_of(words: Mapping[str, float], term: str, unknown: float) -> float:
    """The learned weight of a term: its own, else the mean over the words that are forms of it."""
    if term in words:
        return words[term]
    forms = by_stem(tuple(words)).get(term, [])
    return sum(words[form] for form in forms) / len(forms) if forms else unknown


def pointers(associations: Mapping[str, Mapping[str, float]], term: str) -> dict[str, float]:
    """The topics learned for any form of a term, each with the weight of its strongest form."""
    strongest: dict[str, float] = {}
    for form in by_stem(tuple(associations)).get(term, []):
        for topic, strength in associations[form].items():
            strongest[topic] = max(strength, strongest.get(topic, 0.0))
    return strongest
