"""Which variant a conversation gets.

Thompson sampling (Thompson, 1933) with a Beta posterior for each variant's mean reward. The shares of
the variants are estimated by a fixed number of draws from a stream that depends on the counts alone,
and a conversation is assigned by a hash of its id. So the noted propensity is exact for the policy
that was carried out, and a conversation gets the same variant in each of its turns.
"""

from hashlib import sha256
from random import Random
from typing import Any

DRAWS = 400


def active(state: dict[str, Any]) -> dict[str, Any]:
    """The variants that may be served, by name."""
    return {name: one for name, one in sorted(state["variants"].items()) if not one["retired"]}


def shares(state: dict[str, Any]) -> dict[str, float]:
    """The probability of each variant to be assigned to a new conversation."""
    variants = active(state)
    if not state["explore"]:
        return {name: float(name == state["served"]) for name in variants}
    posterior = {
        name: (1 + one["sum"], 1 + max(one["n"] - one["sum"], 0.0)) for name, one in variants.items()
    }
    stream = Random(repr(sorted(posterior.items())))
    wins = dict.fromkeys(posterior, 0)
    for _ in range(DRAWS):
        drawn = {name: stream.betavariate(*shape) for name, shape in posterior.items()}
        wins[max(drawn, key=drawn.__getitem__)] += 1
    return {name: count / DRAWS for name, count in wins.items()}


def assigned(chances: dict[str, float], conversation: str) -> str:
    """The variant of a conversation: a number in [0, 1) from its id, among the shares."""
    point = int.from_bytes(sha256(conversation.encode()).digest()[:8], "big") / 2**64
    for name, chance in chances.items():
        point -= chance
        if point < 0:
            return name
    return max(chances, key=chances.__getitem__)
