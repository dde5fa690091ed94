"""Which ranking strategy to serve: an upper confidence bound over what the rewards say of each.

UCB1 (Auer et al., 2002): mean reward plus a bonus for the little tried. It needs no randomness, so the same state
always serves the same strategy.
"""

from collections.abc import Mapping
from math import log, sqrt
from typing import Any


def optimistic(arm: Mapping[str, Any], trials: int, explore: float) -> float:
    """The mean reward of a strategy, plus a bonus that shrinks as its trials grow."""
    return arm["mean"] + explore * sqrt(log(1 + trials) / (1 + arm["trials"]))


def choose(strategies: Mapping[str, Any]) -> str:
    """The strategy to use under the state's `strategies`; the default where nothing is better."""
    arms = strategies["arms"]
    trials = sum(arm["trials"] for arm in arms.values())
    values = {name: optimistic(arm, trials, strategies["explore"]) for name, arm in arms.items()}
    return min(arms, key=lambda name: (-values[name], name != strategies["default"], name))
