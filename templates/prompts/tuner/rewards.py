"""Rewards of conversations, and which variant is served.

A conversation has one variant and one reward: a later reward of the same conversation replaces the
earlier one. Sums and counts are what the Runner's policy needs, and add up over machines.
"""

from math import erf, sqrt
from typing import Any


def variant_of(turns: list[dict[str, Any]]) -> str:
    """The variant that a conversation was answered under."""
    names = [turn["facts"]["arm"] for turn in turns if "arm" in turn.get("facts", {})]
    if not names:
        raise ValueError("the conversation has no turn of `route`, so no variant has this reward")
    return names[-1]


def count(state: dict[str, Any], conversation: str, name: str, value: float) -> None:
    """Counts the reward of a conversation, in place of an earlier one."""
    if not 0 <= value <= 1:
        raise ValueError(f"value is {value}: give a number from 0 (wrong) to 1 (right)")
    if name not in state["variants"]:
        raise ValueError(f"variant {name!r} of the conversation is no longer in the state")
    earlier = state["rewarded"].pop(conversation, None)
    if earlier is not None and earlier["variant"] in state["variants"]:
        add(state, earlier["variant"], -1, -earlier["value"])
    add(state, name, 1, value)
    state["rewards"] += 1
    state["rewarded"][conversation] = {"at": state["rewards"], "variant": name, "value": value}
    forget(state)


def prefer(state: dict[str, Any], winner: str, loser: str) -> None:
    """Counts a preference as a reward of 1 for the winner and 0 for the loser.

    The means are then Borda scores: how often a variant wins against the others.
    """
    for name in (winner, loser):
        if name not in state["variants"]:
            raise ValueError(f"there is no variant {name!r}: {', '.join(state['variants'])}")
    if winner == loser:
        raise ValueError(f"winner and loser are both {winner!r}: name two variants")
    add(state, winner, 1, 1.0)
    add(state, loser, 1, 0.0)


def add(state: dict[str, Any], name: str, n: int, value: float) -> None:
    variant = state["variants"][name]
    variant["n"] += n
    variant["sum"] = round(variant["sum"] + value, 6)


def forget(state: dict[str, Any]) -> None:
    """Cuts the memory of rewarded conversations: the oldest go, their counts stay."""
    rewarded = state["rewarded"]
    surplus = len(rewarded) - state["memory"]
    if surplus > 0:
        for name in sorted(rewarded, key=lambda name: (rewarded[name]["at"], name))[:surplus]:
            del rewarded[name]


def better(one: dict[str, Any], other: dict[str, Any]) -> float:
    """The probability that a variant's mean reward is above another's.

    Beta posteriors, as normal distributions with the same mean and variance.
    """
    (mean, variance), (mean_of_other, variance_of_other) = moments(one), moments(other)
    distance = (mean - mean_of_other) / sqrt(variance + variance_of_other)
    return (1 + erf(distance / sqrt(2))) / 2


def moments(variant: dict[str, Any]) -> tuple[float, float]:
    right = 1 + variant["sum"]
    wrong = 1 + max(variant["n"] - variant["sum"], 0.0)
    total = right + wrong
    return right / total, right * wrong / (total**2 * (total + 1))


def serve_the_best(state: dict[str, Any]) -> str:
    """Serves the variant with the best mean reward once it is better with `confidence`."""
    variants = {name: one for name, one in state["variants"].items() if not one["retired"]}
    served = state["variants"][state["served"]]
    best = max(sorted(variants), key=lambda name: moments(variants[name])[0])
    if best != state["served"] and better(variants[best], served) >= state["confidence"]:
        state["served"] = best
    return state["served"]
