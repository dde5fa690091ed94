"""Counting of judgements.

The state has the counts of outcomes by pair, which are the model's sufficient statistics, and
remembers the newest judgements one by one: a correction takes the earlier outcome out of the
counts, and the Runner groups them by cluster. The counts add up over machines; the memory is
joined by id and cut to its bound again by the next judgement.
"""

from hashlib import sha256
from typing import Any, NamedTuple

MOST_ITEMS = 100
LONGEST_NAME = 100
LONGEST_TEXT = 4_000


class Outcome(NamedTuple):
    """The winner and the loser of a judgement; with `tie`, two equals."""

    winner: str
    loser: str
    tie: bool

    def check(self, items: dict[str, Any]) -> None:
        """ValueError when the outcome is not one of two items."""
        for name in (self.winner, self.loser):
            if name not in items:
                raise ValueError(f"there is no item {name!r}; the items are {', '.join(items)}")
        if self.winner == self.loser:
            raise ValueError(f"winner and loser are both {self.winner!r}: name two items")


def identifier(state: dict[str, Any], outcome: Outcome, cluster: str) -> str:
    """The id of a judgement that was given none: a function of the state and the judgement."""
    parts = (state["judged"], cluster, outcome.winner, outcome.loser, outcome.tie)
    return sha256(repr(parts).encode()).hexdigest()[:12]


def count(state: dict[str, Any], outcome: Outcome, by: int) -> None:
    """Adds `by` judgements with this outcome to the counts of the pair."""
    first, second = sorted((outcome.winner, outcome.loser))
    rivals = state["pairs"].setdefault(first, {})
    counts = rivals.setdefault(second, {"wins": 0, "losses": 0, "ties": 0})
    # the counts are those of the first item
    won = "wins" if outcome.winner == first else "losses"
    counts["ties" if outcome.tie else won] += by


def judge(state: dict[str, Any], outcome: Outcome, cluster: str, given: str) -> str:
    """Counts a judgement and gives its id. One with the id of an earlier one corrects that.

    `cluster` names the conversation or the judge; an empty one makes it a cluster of its own.
    """
    outcome.check(state["items"])
    name = given or identifier(state, outcome, cluster)
    earlier = state["recent"].get(name)
    if earlier is not None:
        count(state, outcome_of(earlier), -1)
    else:
        state["judged"] += 1
    count(state, outcome, 1)
    at = earlier["at"] if earlier is not None else state["judged"]
    cluster = cluster or (earlier or {}).get("cluster", "")
    state["recent"][name] = {
        "at": at,
        "winner": outcome.winner,
        "loser": outcome.loser,
        "tie": outcome.tie,
        **({"cluster": cluster} if cluster else {}),
    }
    forget(state)
    return name


def withdraw(state: dict[str, Any], name: str) -> None:
    """Takes a remembered judgement out of the counts."""
    earlier = state["recent"].pop(name, None)
    if earlier is None:
        raise ValueError(
            f"judgement {name!r} is not remembered: the state keeps the newest "
            f"{state['model']['memory']}"
        )
    count(state, outcome_of(earlier), -1)


def outcome_of(entry: dict[str, Any]) -> Outcome:
    """The outcome of a remembered judgement."""
    return Outcome(entry["winner"], entry["loser"], entry["tie"])


def forget(state: dict[str, Any]) -> None:
    """Cuts the memory to its bound: the oldest judgements go, their counts stay."""
    recent = state["recent"]
    surplus = len(recent) - state["model"]["memory"]
    if surplus > 0:
        for name in sorted(recent, key=lambda name: (recent[name]["at"], name))[:surplus]:
            del recent[name]


def add(state: dict[str, Any], name: str, text: str) -> None:
    """Adds an item, replaces its text, or takes it back into the ranking."""
    if not name.strip() or len(name) > LONGEST_NAME:
        raise ValueError(f"item is {name!r}: give a name of 1 to {LONGEST_NAME} characters")
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"text has {len(text)} characters: give at most {LONGEST_TEXT}")
    items = state["items"]
    if name not in items and len(items) >= MOST_ITEMS:
        raise ValueError(f"the state has {MOST_ITEMS} items, which is the limit")
    items[name] = {"text": text or items.get(name, {}).get("text", "")}


def retire(state: dict[str, Any], name: str) -> None:
    """Takes an item out of the ranking. Its judgements stay: they inform about the others."""
    if name not in state["items"]:
        raise ValueError(f"there is no item {name!r}; the items are {', '.join(state['items'])}")
    state["items"][name]["retired"] = True
