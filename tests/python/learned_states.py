"""States that two machines learn from parts of a template's signals, as one JSON object.

    python tests/python/learned_states.py TEMPLATE

`base` is learned from the first third of the signals; `ours` and `theirs` go on from it with a third
each, and `whole` with both.
"""

import copy
import json
import sys

import repositories


def learn_preferences(repository, state, signals):
    (judgements,) = repositories.modules(repository, "tuner.judgements")
    for signal in signals:
        arguments = signal["arguments"]
        tie = arguments.get("tie", False)
        outcome = judgements.Outcome(arguments["winner"], arguments["loser"], tie)
        judgements.judge(state, outcome, arguments["judge"], arguments["judgement_id"])


def learn_rules(repository, state, signals):
    (learning,) = repositories.modules(repository, "tuner.learning")
    for signal in signals:
        arguments = signal["arguments"]
        learning.learn(state, arguments["features"], arguments["label"], arguments["example_id"])


def learn_presentation(repository, state, signals):
    (words,) = repositories.modules(repository, "tuner.words")
    learned = state.setdefault("overlay", {}).setdefault("learned", {})
    for signal in signals:
        words.count(learned, signal["arguments"]["right_tool"], signal["arguments"]["request"])


LEARNERS = {"preferences": learn_preferences, "presentation": learn_presentation, "rules": learn_rules}


def main():
    template = sys.argv[1]
    repository, learn = repositories.ROOT / "templates" / template, LEARNERS[template]
    signals = repositories.lines(repository / "signals/feedback.jsonl")
    third = len(signals) // 3
    parts = signals[:third], signals[third : 2 * third], signals[2 * third :]
    base = repositories.state(repository)
    learn(repository, base, parts[0])
    states = {"base": base}
    for name, more in (("ours", parts[1]), ("theirs", parts[2]), ("whole", parts[1] + parts[2])):
        states[name] = copy.deepcopy(base)
        learn(repository, states[name], more)
    print(json.dumps(states))


if __name__ == "__main__":
    main()
