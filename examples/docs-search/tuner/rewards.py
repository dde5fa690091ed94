"""Learning from rewards: a bandit whose arms are the ranking strategies."""

from collections.abc import Iterable, Mapping
from typing import Any

DECIMALS = 6


def strategies_used(turns: Iterable[Mapping[str, Any]]) -> list[str]:
    """The strategies that a conversation's turns noted, each once, in order."""
    noted = (turn.get("facts", {}).get("strategy") for turn in turns)
    return list(dict.fromkeys(strategy for strategy in noted if strategy))


def credit(arms: dict[str, Any], strategy: str, value: float) -> None:
    """Counts one reward from 0 to 1 into the strategy's mean. ValueError, and nothing counted, when either is out of place."""
    if not 0 <= value <= 1:
        raise ValueError(f"value is {value}: a reward is a number from 0 (useless) to 1 (just right)")
    if strategy not in arms:
        raise ValueError(f"strategy is {strategy!r}: the state has {', '.join(arms)}")
    arm = arms[strategy]
    arm["trials"] += 1
    arm["mean"] = round(arm["mean"] + (value - arm["mean"]) / arm["trials"], DECIMALS)
