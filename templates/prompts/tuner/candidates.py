"""Variants as candidates: named, scored on a tier case by case, kept where they win somewhere.

`pareto` has, for each case of the tier, the best score and the candidates that reach it: the set
from which GEPA (Agrawal et al., 2025) takes the parent of a mutation.
"""

from hashlib import sha256
from typing import Any

from agent_runtime import effect

MOST = 60


def scored(state: dict[str, Any], variant: dict[str, Any], tier: str) -> dict[str, Any]:
    """How a variant does on the tier: an effect, so it is recorded with the signal."""
    trial = {**state, "variants": {**state["variants"], "trial": variant}, "served": "trial"}
    return effect.evaluate(trial, tier)


def score(state: dict[str, Any], name: str, tier: str) -> float:
    """The score of a variant on the tier, measured where that has not been done."""
    variant = state["variants"][name]
    if state["pareto"].get("tier") != tier:
        state["pareto"] = {"tier": tier, "cases": {}}
        for one in state["variants"].values():
            one["score"] = None
    if variant["score"] is None:
        enter(state, name, scored(state, variant, tier))
    return variant["score"]


def enter(state: dict[str, Any], name: str, result: dict[str, Any]) -> None:
    """Writes a variant's scores down, and what they change in the Pareto set."""
    state["variants"][name]["score"] = result["score"]
    cases = state["pareto"]["cases"]
    for case, value in result["by_case"].items():
        best = cases.setdefault(case, {"score": value, "variants": []})
        if value > best["score"]:
            best.update(score=value, variants=[])
        if value == best["score"] and name not in best["variants"]:
            best["variants"].append(name)


def made(
    parent: dict[str, Any], parent_name: str, changes: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """A new variant without rewards; its name is a digest of what it consists of."""
    variant = {
        **parent,
        **changes,
        "n": 0,
        "sum": 0.0,
        "score": None,
        "retired": False,
        "parent": parent_name,
    }
    parts = (variant["prompt"], variant["model"], variant["temperature"], variant["shots"])
    return f"v-{sha256(repr(parts).encode()).hexdigest()[:8]}", variant


def admit(
    state: dict[str, Any], name: str, variant: dict[str, Any], result: dict[str, Any]
) -> dict[str, Any]:
    """Adds a candidate that was scored, and serves it where its score is the best.

    Whether it is better beyond chance is judged at the promotion, on cases that no candidate was
    chosen by.
    """
    state["variants"][name] = variant
    enter(state, name, result)
    served = state["variants"][state["served"]]
    if served["score"] is None or result["score"] > served["score"]:
        state["served"] = name
    prune(state)
    return {"variant": name, "score": result["score"], "served": state["served"]}


def prune(state: dict[str, Any]) -> None:
    """Beyond the limit, candidates go that are neither served, rewarded nor best in any case."""
    variants, cases = state["variants"], state["pareto"]["cases"]
    best = {name for case in cases.values() for name in case["variants"]}
    idle = [
        name
        for name, one in variants.items()
        if name != state["served"] and name not in best and not one["n"]
    ]
    surplus = max(len(variants) - MOST, 0)
    for name in sorted(idle, key=lambda name: (variants[name]["score"] or 0.0, name))[:surplus]:
        del variants[name]
