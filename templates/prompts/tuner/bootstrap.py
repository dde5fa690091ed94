"""Few-shot examples that the model itself answers right (BootstrapFewShot; Khattab et al., 2023)."""

from random import Random
from typing import Any

from agent_runtime import effect

from tuner import candidates
from tuner.reflection import answered, right

MOST_SHOTS = 6
TRIED = 12


def step(state: dict[str, Any], tier: str) -> dict[str, Any]:
    """Tries one random set of examples with the served prompt, and admits it where it does better."""
    if len(state["examples"]) < MOST_SHOTS:
        raise ValueError(
            f"the state has {len(state['examples'])} examples with a known label, and a set needs "
            f"{MOST_SHOTS}: give some with `corrected`"
        )
    chance = Random(effect.seed())
    served = state["served"]
    best = candidates.score(state, served, tier)
    variant = state["variants"][served]
    tried = chance.sample(state["examples"], min(TRIED, len(state["examples"])))
    answers = answered(state, {**variant, "shots": []}, tried)
    shots = [one for one, got in zip(tried, answers, strict=True) if one["label"] == got]
    name, child = candidates.made(variant, served, {"shots": shots[:MOST_SHOTS]})
    if not shots or name in state["variants"]:
        return {"done": False, "right": right(tried, answers), "outcome": "no new set of examples"}
    result = candidates.scored(state, child, tier)
    if result["score"] <= best:
        return {"done": False, "score": result["score"], "outcome": "not better on the tier"}
    outcome = candidates.admit(state, name, child, result)
    return {"done": outcome["score"] == 1.0, "outcome": "admitted", **outcome}
