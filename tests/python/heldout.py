"""Measures docs-search in process, without `agent`: held-out mean reciprocal rank before and after its signals.

    python tests/python/heldout.py REPOSITORY [SIGNALS_FROM_REPOSITORY]

With a second repository the signals are learned by that one's code, and its state is served by the first one's: what a
release does, which carries the active state to the new code. Prints one JSON object.
"""

import importlib
import json
import sys
from pathlib import Path


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def learn(repository):
    """The state after every signal, by the Tuner's own functions."""
    judgements = importlib.import_module("tuner.judgements")
    rewards = importlib.import_module("tuner.rewards")
    state = json.loads((repository / "state/active.state.json").read_text())
    for signal in lines(repository / "signals/feedback.jsonl"):
        arguments = signal["arguments"]
        if signal["tool"] == "judged":
            judgements.check(**arguments)
            judgements.step(state, **arguments)
        else:
            rewards.credit(state["strategies"]["arms"], **arguments)
    return state


def score(repository, state):
    """Mean reciprocal rank over the held-out cases, with the strategy that the state serves."""
    ranking = importlib.import_module("runner.ranking")
    chosen = importlib.import_module("runner.strategies").choose(state["strategies"])
    total, cases = 0.0, lines(repository / "tests/full/heldout/queries.jsonl")
    for case in cases:
        hits = ranking.rank(ranking.distinct(case["arguments"]["query"]), chosen, state, case["arguments"]["k"])
        relevant = case["expect"]["scorer"]["relevant"]
        total += next((1 / rank for rank, hit in enumerate(hits, start=1) if hit.topic in relevant), 0.0)
    return round(total / len(cases), 4)


def forget_modules():
    for name in [name for name in sys.modules if name.partition(".")[0] in ("runner", "tuner")]:
        del sys.modules[name]


def main():
    repositories = [Path(argument).resolve() for argument in sys.argv[1:]]
    served, teacher = repositories[0], repositories[-1]
    sys.path.insert(0, str(teacher))
    state = learn(teacher)
    sys.path[0] = str(served)
    forget_modules()
    before = json.loads((served / "state/active.state.json").read_text())
    print(json.dumps({"baseline": score(served, before), "tuned": score(served, state)}))


if __name__ == "__main__":
    main()
