"""The Runner's tools: classify, explain and rules."""

from collections.abc import Mapping
from typing import Any, TypedDict

from agent_runtime import Server, note, state

from runner.conditions import check
from runner.voting import decide, sentence

server = Server("rules")

READ_ONLY = {"readOnlyHint": True, "openWorldHint": False}
DECIMALS = 6

Features = dict[str, float | str | bool | list[str]]


class Answer(TypedDict):
    """The label, its probability, and the rule with the largest weight for it, if one fired."""

    label: str
    probability: float
    rule: str | None


class Shown(TypedDict):
    """A rule: its sentence, and what it is worth.

    `weight` is what it adds to the score of its label. Of the `support` examples that it covers,
    the share `confidence` has its label. `ended` has the reason of a rule that no longer votes.
    """

    rule: str
    sentence: str
    label: str
    weight: float
    support: int
    confidence: float
    version: int
    born: int
    ended: str | None


class Explanation(TypedDict):
    """The decision and the rules that fired: those for the label first, the largest weight first.

    Without a rule, the label is the most frequent one.
    """

    label: str
    probabilities: dict[str, float]
    fired: list[Shown]


def shown(name: str, rule: Mapping[str, Any]) -> Shown:
    """A rule as the tools show it."""
    return {
        "rule": name,
        "sentence": sentence(rule),
        "label": rule["label"],
        "weight": rule["weight"],
        "support": rule["support"],
        "confidence": round(rule["right"] / rule["support"], DECIMALS) if rule["support"] else 0.0,
        "version": rule["version"],
        "born": rule["born"],
        "ended": "; ".join(sorted(rule["ended"])) or None,
    }


@server.tool(annotations=READ_ONLY)
def classify(features: Features) -> Answer:
    """Gives the label that the rules decide for.

    Args:
        features: numbers, texts, truth values and lists of texts by name
    """
    check(features)
    decision = decide(state(), features)
    rules = state()["rules"]
    rule = next((name for name in decision.fired if rules[name]["label"] == decision.label), None)
    note(label=decision.label, rules=decision.fired)
    probability = round(decision.probabilities[decision.label], DECIMALS)
    return {"label": decision.label, "probability": probability, "rule": rule}


@server.tool(annotations=READ_ONLY)
def explain(features: Features) -> Explanation:
    """Shows which rules fire for these features, and what they decide.

    Args:
        features: numbers, texts, truth values and lists of texts by name
    """
    check(features)
    decision = decide(state(), features)
    chances = {label: round(p, DECIMALS) for label, p in decision.probabilities.items()}
    fired = [shown(name, state()["rules"][name]) for name in decision.fired]
    return {"label": decision.label, "probabilities": chances, "fired": fired}


@server.tool(annotations=READ_ONLY)
def rules(label: str = "", ended: bool = False) -> list[Shown]:
    """Lists the rules, the largest weight first.

    Args:
        label: of this label alone
        ended: those that were retired or superseded, with the reason
    """
    every = [shown(name, rule) for name, rule in state()["rules"].items()]
    wanted = [one for one in every if bool(one["ended"]) == ended and label in ("", one["label"])]
    return sorted(wanted, key=lambda one: (-one["weight"], one["rule"]))


if __name__ == "__main__":
    server.run()
