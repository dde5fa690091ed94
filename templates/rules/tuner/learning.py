"""What one example changes in the state.

The state keeps a bounded sample of the examples: those whose ids have the smallest hashes (bottom-k
sampling; Cohen and Kaplan, 2007), which is a uniform sample that is the same in whatever order the
examples come, and that two machines join by taking the smallest hashes of both. Rules are induced
from it after every `induce_every` examples. In between, an example updates the counts of the rules
that it fires.
"""

from collections.abc import Mapping
from hashlib import sha256
from json import dumps
from math import log
from typing import Any

from runner.conditions import Features, all_hold, check, is_number
from runner.voting import fired
from tuner.boosting import Example, Found, Settings, induce

MOST_LABELS = 50
MOST_FEATURES = 100
LONGEST_NAME = 100
MOST_ENDED = 50
DECIMALS = 6
SUPERSEDED = "superseded: the examples are told apart without it"

Rule = dict[str, Any]
State = dict[str, Any]


def learn(state: State, features: Features, label: str, given: str) -> str:
    """Counts an example and gives its id. One with the id of a kept example corrects that."""
    refuse(state, features, label)
    name = given or digest(state["seen"], dict(features), label)
    earlier = state["examples"].get(name)
    if earlier is not None:
        # a state that was edited may lack the label
        state["labels"][earlier["label"]] = max(0, state["labels"].get(earlier["label"], 0) - 1)
    else:
        state["seen"] += 1
        judge_rules(state, features, label)
    state["labels"][label] = state["labels"].get(label, 0) + 1
    at = earlier["at"] if earlier is not None else state["seen"]
    state["examples"][name] = {"features": dict(features), "label": label, "at": at}
    trim(state)
    if state["seen"] - state["induced_at"] >= state["model"]["induce_every"]:
        renew(state)
    return name


def refuse(state: State, features: Features, label: str) -> None:
    """ValueError when nothing can be learned from an example."""
    check(features)
    if not label.strip() or len(label) > LONGEST_NAME:
        raise ValueError(f"label is {label!r}: give a name of 1 to {LONGEST_NAME} characters")
    if len(features) > MOST_FEATURES:
        raise ValueError(f"the example has {len(features)} features: give at most {MOST_FEATURES}")
    if label not in state["labels"] and len(state["labels"]) >= MOST_LABELS:
        raise ValueError(f"there are {MOST_LABELS} labels, which is the limit")


def digest(*parts: Any) -> str:
    """A name that is a function of the parts."""
    return sha256(dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def trim(state: State) -> None:
    """Cuts the sample to its bound: the examples with the largest hashes go."""
    examples, most = state["examples"], state["model"]["examples"]
    if len(examples) > most:
        for name in sorted(examples, key=digest)[most:]:
            del examples[name]


def active(state: Mapping[str, Any]) -> dict[str, Rule]:
    """The rules that vote, by id."""
    return {name: rule for name, rule in state["rules"].items() if not rule["ended"]}


def judge_rules(state: State, features: Features, label: str) -> None:
    """Counts an example for each rule that it fires, and retires those that no longer pay."""
    retired = []
    for name in fired(state["rules"], features):
        rule = state["rules"][name]
        is_right = rule["label"] == label
        rule["fired"] += 1
        rule["hits"] += is_right
        rule["support"] += 1
        rule["right"] += is_right
        rule["against"] = round(evidence(rule, is_right), DECIMALS)
        if rule["against"] >= log(1 / state["model"]["retire_level"]):
            retired.append(rule)
    for rule in retired:
        retire(state, rule)
    if retired:
        renew(state)


def evidence(rule: Rule, is_right: bool) -> float:
    """The logarithm of the evidence against a rule after one more example that it fired on.

    The hypothesis is that the rule pays: its label is right at least as often as without it, with
    probability `needs`. The factor of an example is a bet on half of that probability, whose mean
    is at most 1 under the hypothesis; the product restarts from 1 when it falls below (the CUSUM of
    Page, 1954, of e-values; Shin, Ramdas and Rinaldo, 2023). A rule that pays is retired on average
    after 1 / `retire_level` firings or later.
    """
    needs = rule["needs"]
    odds = 0.5 if is_right else (1 - needs / 2) / (1 - needs)
    return max(0.0, rule["against"] + log(odds))


def retire(state: State, rule: Rule) -> None:
    """Ends a rule, and forgets the kept examples from before its birth that it covers."""
    reason = (
        f"retired: {rule['hits']} of {rule['fired']} later examples were {rule['label']}, "
        f"which pays above {rule['needs']}"
    )
    rule["ended"] = {reason: state["seen"]}
    stale = [
        name
        for name, example in state["examples"].items()
        if example["at"] <= rule["born"] and all_hold(rule["conditions"], example["features"])
    ]
    for name in stale:
        del state["examples"][name]


def settings_of(model: Mapping[str, Any]) -> Settings:
    """The settings of an induction."""
    return Settings(**{name: model[name] for name in Settings._fields})


def renew(state: State) -> None:
    """Induces the rules anew from the kept examples."""
    kept = [Example(one["features"], one["label"]) for _, one in sorted(state["examples"].items())]
    settings = settings_of(state["model"])
    found = induce(kept, state["labels"], settings, bounds(state)) if kept else []
    names = {take_in(state, rule) for rule in found}
    for name, rule in active(state).items():
        if name not in names:
            rule["ended"] = {SUPERSEDED: state["seen"]}
    state["induced_at"] = state["seen"]
    forget_ended(state)


def bounds(state: State) -> dict[str, set[float]]:
    """The bounds of numeric features in the rules that vote."""
    found: dict[str, set[float]] = {}
    for rule in active(state).values():
        for condition in rule["conditions"]:
            if condition["op"] in ("<=", ">") and is_number(condition["value"]):
                found.setdefault(condition["feature"], set()).add(condition["value"])
    return found


def take_in(state: State, found: Found) -> str:
    """Puts an induced rule into the state, as a new one or the same as before. Gives its id."""
    name = "r-" + digest(found.label, found.conditions)[:8]
    earlier = state["rules"].get(name)
    born = {"version": version(state, found), "born": state["seen"], "fired": 0, "hits": 0}
    kept = earlier or {"conditions": found.conditions, "label": found.label, **born}
    is_fresh = earlier is None or bool(earlier["ended"])
    state["rules"][name] = {
        **kept,
        "weight": round(found.weight, DECIMALS),
        "support": found.support,
        "right": found.right,
        "needs": round(found.share, DECIMALS),
        "against": 0.0 if is_fresh else earlier["against"],
        "ended": {},
    }
    return name


def shape(rule: Mapping[str, Any]) -> list[Any]:
    """A rule without the values in its conditions."""
    return [rule["label"], [[one["feature"], one["op"]] for one in rule["conditions"]]]


def version(state: State, found: Found) -> int:
    """One more than the newest version of a rule of the same shape."""
    wanted = shape(found._asdict())
    versions = [rule["version"] for rule in state["rules"].values() if shape(rule) == wanted]
    return 1 + max(versions, default=0)


def forget_ended(state: State) -> None:
    """Keeps the rules that ended last."""
    ended = {name: rule for name, rule in state["rules"].items() if rule["ended"]}
    last = sorted(ended, key=lambda name: (-max(ended[name]["ended"].values()), name))
    for name in last[MOST_ENDED:]:
        del state["rules"][name]
