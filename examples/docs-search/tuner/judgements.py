"""Learning from judged queries: one step that moves the topics that answer a query above those that do not.

The score of a topic is linear in the field weights, and in what is learned for each word. So a step follows the
gradient of the pairwise logistic loss, log(1 + exp(wrong - right)), as in RankNet (Burges et al., 2005). BM25's own k1
and b are not linear: they take a short step to the side where the loss is lower.
"""

from collections.abc import Mapping
from math import exp, log1p
from operator import mul
from typing import Any

from runner.index import FIELDS, index
from runner.ranking import by_fields, distinct, field_values, topics_of, word_weight
from runner.topics import TOPICS

RIVALS = 5  # how many of the best wrong topics the right one is compared with
FIELD_STEP = 0.02
WORD_STEP = 0.1
ASSOCIATION_STEP = 2.0
FIELD_BOUNDS = (0.05, 8.0)
WORD_BOUNDS = (0.05, 3.0)
ASSOCIATION_BOUNDS = (0.0, 8.0)
PARAMETER_STEPS = {"k1": 0.02, "b": 0.01}
PARAMETER_BOUNDS = {"k1": (0.2, 3.0), "b": (0.0, 1.0)}
DECIMALS = 3
FAINTEST = 0.2  # an association weaker than this is not worth its place in the state
MOST_TOPICS = 6
FAINTEST_MOVE = 0.01  # likewise, a first step away from the usual weight
STEEPEST = 50.0  # exp of more than this says nothing new

Values = dict[str, dict[int, list[float]]]  # word -> document number -> a value per field


def bounded(value: float, bounds: tuple[float, float]) -> float:
    """The value inside its bounds, rounded so that the state stays readable."""
    return round(min(max(value, bounds[0]), bounds[1]), DECIMALS)


def check(query: str, relevant: list[str]) -> None:
    """ValueError when nothing can be learned from the judgement."""
    if not distinct(query):
        raise ValueError(f"query {query!r} has no words: give the question as it was asked")
    if not relevant:
        raise ValueError("relevant is empty: name at least one topic that answers the query")
    for name in relevant:
        if name not in TOPICS:
            raise ValueError(f"relevant names {name!r}, which is no topic: runner/topics.py lists them")


def step(state: dict[str, Any], query: str, relevant: list[str]) -> None:
    """Moves `state` one step so that the relevant topics rise for this query."""
    over = index()
    right = [over.numbers[name] for name in relevant if name in over.numbers]
    if not right:
        return  # topics that the help of this Python no longer has
    asked = distinct(query)
    scores = by_fields(asked, state, over)
    best = max(right, key=lambda number: (scores[number], -number))
    pulls = rivals(scores, best, right)
    compared = values_of(asked, state["ranking"], [best, *pulls])
    moved = parameters(state, asked, best, list(pulls))
    fields = field_weights(state, compared, best, pulls)
    for word in asked:
        learn_word(state, word, len(asked), compared[word], best, pulls)
    state["ranking"] |= moved | {"fields": fields}


def rivals(scores: list[float], best: int, right: list[int]) -> dict[int, float]:
    """The strongest wrong documents by number, each with the slope of its loss: from 0, well beaten, to 1."""
    wrong = sorted((number for number in range(len(scores)) if number not in right), key=lambda number: (-scores[number], number))
    return {number: 1 / (1 + exp(min(scores[best] - scores[number], STEEPEST))) for number in wrong[:RIVALS]}


def values_of(asked: Mapping[str, float], ranking: Mapping[str, Any], numbers: list[int]) -> Values:
    """The field values of these documents alone, zeros where a document lacks the word."""
    nothing = [0.0] * len(FIELDS)
    rows = {word: field_values(word, ranking, index(), numbers) for word in asked}
    return {word: {number: found.get(number, nothing) for number in numbers} for word, found in rows.items()}


def scores_of(state: Mapping[str, Any], ranking: Mapping[str, Any], asked: Mapping[str, float], numbers: list[int]) -> dict[int, float]:
    """The scores of these documents alone."""
    weights = [ranking["fields"][field] for field in FIELDS]
    documents, scores = index().documents, dict.fromkeys(numbers, 0.0)
    for word, rows in values_of(asked, ranking, numbers).items():
        weight, learned = word_weight(state, word), topics_of(state, word)
        for number, row in rows.items():
            scores[number] += weight * (sum(map(mul, row, weights)) + learned.get(documents[number].topic, 0.0))
    return scores


def loss(state: Mapping[str, Any], ranking: Mapping[str, Any], asked: Mapping[str, float], best: int, wrong: list[int]) -> float:
    """The logistic loss of the best right document against the wrong ones."""
    scores = scores_of(state, ranking, asked, [best, *wrong])
    return sum(log1p(exp(min(scores[number] - scores[best], STEEPEST))) for number in wrong)


def parameters(state: Mapping[str, Any], asked: Mapping[str, float], best: int, wrong: list[int]) -> dict[str, float]:
    """k1 and b, each moved to the side where the loss is lower, if one is."""
    moved = {}
    for name, size in PARAMETER_STEPS.items():
        value = state["ranking"][name]
        sides = [bounded(value - size, PARAMETER_BOUNDS[name]), bounded(value + size, PARAMETER_BOUNDS[name])]
        less, more = (loss(state, {**state["ranking"], name: side}, asked, best, wrong) for side in sides)
        moved[name] = value if less == more else sides[less > more]
    return moved


def field_weights(state: Mapping[str, Any], compared: Values, best: int, pulls: Mapping[int, float]) -> dict[str, float]:
    """The field weights after one gradient step."""
    slopes = [0.0] * len(FIELDS)
    for word, rows in compared.items():
        weight = word_weight(state, word)
        for number, pull in pulls.items():
            for field, (ahead, behind) in enumerate(zip(rows[best], rows[number], strict=True)):
                slopes[field] += weight * pull * (ahead - behind)
    old = state["ranking"]["fields"]
    return {name: bounded(old[name] + FIELD_STEP * slope / RIVALS, FIELD_BOUNDS) for name, slope in zip(FIELDS, slopes, strict=True)}


def learn_word(state: dict[str, Any], word: str, among: int, rows: dict[int, list[float]], best: int, pulls: Mapping[int, float]) -> None:
    """What one word of the query teaches: how much it says at all, and that it points to the topic that answers."""
    weights = [state["ranking"]["fields"][field] for field in FIELDS]
    weight, documents = word_weight(state, word), index().documents
    learned = dict(topics_of(state, word))
    said = {number: sum(map(mul, row, weights)) + learned.get(documents[number].topic, 0.0) for number, row in rows.items()}
    slope = sum(pull * (said[best] - said[number]) for number, pull in pulls.items())
    moved = bounded(weight + WORD_STEP * slope / RIVALS, WORD_BOUNDS)
    if word in state["words"] or abs(moved - weight) >= FAINTEST_MOVE:
        state["words"][word] = moved
    topic = documents[best].topic
    size = ASSOCIATION_STEP * weight * sum(pulls.values()) / RIVALS / among
    learned[topic] = bounded(learned.get(topic, 0.0) + size, ASSOCIATION_BOUNDS)
    keep(state["associations"], word, learned)


def keep(associations: dict[str, Any], word: str, learned: dict[str, float]) -> None:
    """Keeps the strongest associations of a word: a word that points everywhere says nothing and would swell the state."""
    strongest = sorted((name for name in learned if learned[name] >= FAINTEST), key=lambda name: (-learned[name], name))
    if strongest:
        associations[word] = {name: learned[name] for name in sorted(strongest[:MOST_TOPICS])}
