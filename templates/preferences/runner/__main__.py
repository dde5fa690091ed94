"""The Runner's tools: best, ranking, compare and next_pair."""

from typing import TypedDict

from agent_runtime import Server, conversation, note, state

from runner.pairing import gain, next_pair as choose
from runner.standings import Standings, standings

server = Server("preferences")

READ_ONLY = {"readOnlyHint": True, "openWorldHint": False}
DECIMALS = 6
MOST_REMEMBERED = 500  # pairs offered in one conversation


class Best(TypedDict):
    """The strongest item, and how sure it is that it is stronger than the next one."""

    item: str
    text: str
    runner_up: str
    probability: float
    clear: bool


class Standing(TypedDict):
    """An item: strength (a logarithm, 0 is the mean) with its interval, and its judgements."""

    item: str
    strength: float
    low: float
    high: float
    wins: int
    losses: int
    ties: int


class Ranking(TypedDict):
    """All items, the strongest first.

    `tie` is Davidson's nu: two equal items tie with probability nu / (2 + nu). `design_effect` is
    the factor of the variances for judgements that share a conversation or a judge.
    """

    items: list[Standing]
    tie: float
    design_effect: float
    confidence: float
    judgements: int


class Comparison(TypedDict):
    """The probabilities of the outcomes when two items are judged."""

    first: float
    second: float
    tie: float


class NextPair(TypedDict):
    """Two items to be judged, in the order in which to show them, and the gain in nats."""

    first: str
    second: str
    first_text: str
    second_text: str
    gain: float


def known(over: Standings, name: str) -> str:
    """The name, when there is such an item."""
    if name not in over.numbers:
        raise ValueError(f"there is no item {name!r}; the items are {', '.join(over.names)}")
    return name


@server.tool(annotations=READ_ONLY)
def best() -> Best:
    """Gives the item that judges prefer, and the probability that it is better than the next."""
    over = standings(state())
    first, second = over.ranking()[:2]
    probability = over.better(first.item, second.item)
    return {
        "item": first.item,
        "text": over.items[first.item]["text"],
        "runner_up": second.item,
        "probability": round(probability, DECIMALS),
        "clear": probability >= (1 + over.model["confidence"]) / 2,
    }


@server.tool(annotations=READ_ONLY)
def ranking() -> Ranking:
    """Ranks all items by strength, with intervals."""
    over = standings(state())
    items: list[Standing] = [
        {
            "item": one.item,
            "strength": round(one.value, DECIMALS),
            "low": round(one.low, DECIMALS),
            "high": round(one.high, DECIMALS),
            **over.tally(one.item),
        }
        for one in over.ranking()
    ]
    return {
        "items": items,
        "tie": round(over.fit.nu, DECIMALS),
        "design_effect": round(over.design_effect, DECIMALS),
        "confidence": over.model["confidence"],
        "judgements": over.judgements(),
    }


@server.tool(annotations=READ_ONLY)
def compare(first: str, second: str) -> Comparison:
    """Estimates how a judgement of two items ends.

    Args:
        first: the name of an item
        second: the name of another item
    """
    over = standings(state())
    if known(over, first) == known(over, second):
        raise ValueError(f"first and second are both {first!r}: name two items")
    chance = over.fit.outcomes(over.numbers[first], over.numbers[second])
    return {
        "first": round(chance.win, DECIMALS),
        "second": round(chance.loss, DECIMALS),
        "tie": round(chance.tie, DECIMALS),
    }


@server.tool(annotations=READ_ONLY)
def next_pair(conversation_id: str | None = None) -> NextPair:
    """Chooses the two items whose judgement informs most. Each call in a conversation gives others.

    Args:
        conversation_id: the conversation whose judge is asked
    """
    over, talk = standings(state()), conversation()
    asked = [(one, other) for one, other in talk.data.get("asked", [])]
    numbers = {name: over.numbers[name] for name in over.ranked}
    first, second = choose(over.fit, numbers, talk.id or "", set(asked))
    talk.data["asked"] = [*asked, sorted((first, second))][-MOST_REMEMBERED:]
    note(first=first, second=second)
    return {
        "first": first,
        "second": second,
        "first_text": over.items[first]["text"],
        "second_text": over.items[second]["text"],
        "gain": gain(over.fit, over.numbers[first], over.numbers[second]),
    }


if __name__ == "__main__":
    server.run()
