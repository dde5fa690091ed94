"""A decision by rules: each rule whose conditions hold adds its weight to the score of its label.

Scores are logarithms: the probabilities of the labels are the softmax of the scores. Without a rule
that fires, they are the shares of the labels among the examples.
"""

from collections.abc import Mapping
from math import exp, log
from typing import Any, NamedTuple

from runner.conditions import Features, all_hold, readable

Rule = Mapping[str, Any]


class Decision(NamedTuple):
    """The label, the probability of each label, and the ids of the rules that fired.

    The rules for the label come first; in each group the one with the largest weight is first.
    """

    label: str
    probabilities: dict[str, float]
    fired: list[str]


def fired(rules: Mapping[str, Rule], features: Features) -> list[str]:
    """The ids of the rules that vote and whose conditions hold, the largest weight first."""
    found = [
        name
        for name, rule in rules.items()
        if not rule["ended"] and all_hold(rule["conditions"], features)
    ]
    return sorted(found, key=lambda name: (-rules[name]["weight"], name))


def priors(labels: Mapping[str, int]) -> dict[str, float]:
    """The score of each label before any rule: the logarithm of its share (Laplace's estimate)."""
    total = sum(labels.values()) + len(labels)
    return {label: log((count + 1) / total) for label, count in sorted(labels.items())}


def softmax(scores: Mapping[str, float]) -> dict[str, float]:
    """Probabilities in proportion to the exponentials of the scores."""
    top = max(scores.values())
    powers = {label: exp(score - top) for label, score in scores.items()}
    total = sum(powers.values())
    return {label: power / total for label, power in powers.items()}


def decide(state: Mapping[str, Any], features: Features) -> Decision:
    """The decision for these features. ValueError without a label."""
    rules = state["rules"]
    scores = priors(state["labels"])
    if not scores:
        raise ValueError("there is no label yet: give examples with the Tuner's tool `labelled`")
    names = fired(rules, features)
    for name in names:
        label = rules[name]["label"]
        if label not in scores:
            raise ValueError(
                f"rule {name} is for {label!r}, which is not in the state's labels: "
                "add it there with its count, or remove the rule"
            )
        scores[label] += rules[name]["weight"]
    label = max(scores, key=lambda label: (scores[label], label))
    ordered = sorted(names, key=lambda name: rules[name]["label"] != label)
    return Decision(label, softmax(scores), ordered)


def sentence(rule: Rule) -> str:
    """A rule as a person reads it."""
    conditions = " and ".join(map(readable, rule["conditions"]))
    return f"if {conditions} then {rule['label']}"
