"""Filler words: words of a question that are not about its subject."""

from itertools import pairwise

from runner.words import words

FILLER = frozenset(
    """
    a about actually after am an and any anybody anyone are at be been being best but by can could did do does doing done
    ever for from get gets getting give go goes got had happens has have having help hello hey hi how i if in into is it
    its just know let like may me mean means might much must my need no of on one or our out please python really s should
    show so some somebody something t tell than that the their them then there these they thing things this those to up
    use used uses using very want was way we were what when where which who whose why will with work works would you your
    """.split()
)
# Names of statements and operators: alone, or beside one of SUBJECTS, they are the subject.
ALSO_PYTHON = frozenset({"and", "for", "from", "if", "in", "is", "or", "with"})
SUBJECTS = frozenset({"block", "clause", "keyword", "loop", "loops", "operator", "statement", "statements", "test"})


def telling(question: str) -> str:
    """The question without its filler words; the question itself when nothing would be left."""
    asked = words(question)
    told = [word for word, following in pairwise([*asked, ""]) if tells(word, following)]
    return " ".join(told) if told else question


def tells(word: str, following: str) -> bool:
    """Whether a word of a question is about its subject."""
    return word not in FILLER or (word in ALSO_PYTHON and following in SUBJECTS)
