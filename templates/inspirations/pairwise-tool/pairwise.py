"""The Tuner's tool `prefer`: Bradley-Terry strengths, one step for each judgement."""

from math import exp

from agent_runtime import state

STEP = 0.2


def prefer(winner: str, loser: str, tie: bool = False) -> dict[str, float]:
    """Learns that one item was preferred to another. Gives the strengths of both.

    Args:
        winner: the item that was preferred
        loser: the other item
        tie: true when neither was preferred
    """
    if winner == loser:
        raise ValueError(f"winner and loser are both {winner!r}: name two items")
    strengths = state()["strengths"]
    gap = strengths.get(winner, 0.0) - strengths.get(loser, 0.0)
    surprise = (0.5 if tie else 1.0) - 1 / (1 + exp(-max(-30.0, min(30.0, gap))))
    strengths[winner] = round(strengths.get(winner, 0.0) + STEP * surprise, 9)
    strengths[loser] = round(strengths.get(loser, 0.0) - STEP * surprise, 9)
    return {winner: strengths[winner], loser: strengths[loser]}
