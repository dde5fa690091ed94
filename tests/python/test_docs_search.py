"""The flagship example: its data hold together, its Tuner is a pure function, and what it learns helps on held-out queries."""

import copy
import json
import re
import subprocess
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples/docs-search"
LEARNERS = ("minimal", "bandit", "preferences", "rules", "search")
TEMPLATES = (EXAMPLE, *(ROOT / "templates" / name for name in LEARNERS))
TIERS = {"micro": 30, "fast": 50, "full": 170}

sys.path.insert(0, str(EXAMPLE))

from runner import answers, followups, ranking, strategies, topics, words  # noqa: E402
from tuner import judgements, rewards  # noqa: E402


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def cases(repository, tier):
    return [case for path in sorted((repository / "tests" / tier).rglob("*.jsonl")) for case in lines(path)]


def initial_state():
    return json.loads((EXAMPLE / "state/active.state.json").read_text())


def questions(found):
    """The queries and questions of cases, lower case, turns included."""
    calls = [call for case in found for call in case.get("turns", [case])]
    asked = (call["arguments"].get("query") or call["arguments"].get("question") for call in calls)
    return {question.lower().strip() for question in asked if question}


def scored_queries(found):
    return questions([case for case in found if "scorer" in case.get("expect", {})])


def misfits(value, schema, root, path="$"):
    """Where a value breaks the part of JSON Schema that our state schemas use."""
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float)}
    kinds |= {"boolean": bool, "null": type(None)}
    kind = schema.get("type", [])
    kind = [kind] if isinstance(kind, str) else kind
    if kind and not any(isinstance(value, kinds[name]) for name in kind):
        return [f"{path}: not {schema['type']}"]
    found = [f"{path}: not {schema['const']}"] if schema.get("const", value) != value else []
    if isinstance(value, int | float):
        found += [f"{path}: out of bounds"] * (not schema.get("minimum", value) <= value <= schema.get("maximum", value))
    if not isinstance(value, dict):
        return found
    found += [f"{path}: {key} is missing" for key in schema.get("required", []) if key not in value]
    for key, part in value.items():
        inner = schema.get("properties", {}).get(key, schema.get("additionalProperties", True))
        if inner is False:
            found.append(f"{path}: {key} is not allowed")
        elif inner is not True:
            found += misfits(part, inner, root, f"{path}.{key}")
    return found


class Data(unittest.TestCase):
    def test_sets_share_no_query(self):
        signals = lines(EXAMPLE / "signals/feedback.jsonl")
        tuning = {s["arguments"]["query"].lower().strip() for s in signals if s["tool"] == "judged"}
        heldout = lines(EXAMPLE / "tests/full/heldout/queries.jsonl")
        seen = [case for path in EXAMPLE.rglob("tests/**/*.jsonl") if "heldout" not in path.parts for case in lines(path)]
        sets = {"tuning": tuning, "test": scored_queries(seen), "heldout": scored_queries(heldout)}
        self.assertEqual({"tuning": 200, "test": 153, "heldout": 83}, {name: len(found) for name, found in sets.items()})
        self.assertFalse(sets["tuning"] & questions(seen + heldout))
        self.assertFalse(sets["heldout"] & (sets["tuning"] | questions(seen)))

    def test_topics_exist_on_this_python(self):
        self.assertEqual(list(topics.TOPICS), list(topics.sources()))
        named = {name for case in cases(EXAMPLE, "full") for name in case.get("expect", {}).get("scorer", {}).get("relevant", [])}
        named |= {name for s in lines(EXAMPLE / "signals/feedback.jsonl") for name in s["arguments"].get("relevant", [])}
        self.assertLessEqual(named, set(topics.TOPICS))
        self.assertGreaterEqual(len(named), 75)

    def test_ids_are_unique(self):
        for repository in TEMPLATES:
            for tier in TIERS:
                ids = [case["id"] for case in cases(repository, tier)]
                self.assertEqual(len(ids), len(set(ids)), f"{repository.name} {tier}")
            ids = [signal["id"] for signal in lines(repository / "signals/feedback.jsonl")]
            self.assertEqual(len(ids), len(set(ids)), repository.name)

    def test_tiers_are_as_large_as_the_readme_says(self):
        for tier, least in TIERS.items():
            self.assertGreaterEqual(len(cases(EXAMPLE, tier)), least, tier)

    def test_scorers_that_cases_name_exist(self):
        for repository in TEMPLATES:
            defined = set(re.findall(r"^def (\w+)", (repository / "tests/scorers.py").read_text(), re.MULTILINE))
            for tier in TIERS:
                used = {case["expect"]["scorer"]["name"] for case in cases(repository, tier) if "scorer" in case.get("expect", {})}
                self.assertLessEqual(used, defined)

    def test_states_fit_their_schemas(self):
        for repository in TEMPLATES:
            schema = json.loads((repository / "state/schema.json").read_text())
            state = json.loads((repository / "state/active.state.json").read_text())
            self.assertEqual([], misfits(state, schema, schema), repository.name)
            self.assertEqual(schema["x-schema-version"], state["schema_version"])

    def test_the_arms_are_the_strategies(self):
        state = initial_state()["strategies"]
        self.assertEqual(set(ranking.STRATEGIES), set(state["arms"]))
        self.assertIn(state["default"], state["arms"])


class Topics(unittest.TestCase):
    def test_a_topic_is_read(self):
        page = topics.read_topic("walrus", 'The "walrus"\n************\n\nIt swims.\n\n\nFood\n====\n\nFish,\nmostly.\n')
        self.assertEqual(("walrus", "The walrus", ("Food",)), page[:3])
        self.assertEqual(["It swims.", "Fish, mostly."], page.paragraphs())

    def test_words(self):
        table = {"Hello, World!": ["hello", "world"], "__set_name__": ["set", "name"], "x+=1": ["x", "1"], "naïve": ["na", "ve"], "?!": []}
        for text, expected in table.items():
            self.assertEqual(expected, words.words(text), text)

    def test_every_topic_has_a_title_and_an_answer(self):
        for name in topics.TOPICS:
            self.assertTrue(topics.load(name).title, name)
            self.assertTrue(answers.passage(name, ["statement"]), name)

    def test_an_answer_is_prose(self):
        self.assertNotIn("::=", answers.passage("lambda", ["lambda"]))


class Ranking(unittest.TestCase):
    def test_rank_is_ordered_and_limited(self):
        for strategy in ranking.STRATEGIES:
            hits = ranking.rank(ranking.distinct("loop over the items of a list"), strategy, initial_state(), 7)
            self.assertEqual(7, len(hits), strategy)
            self.assertEqual(sorted(hits, key=lambda hit: (-hit.score, hit.topic)), hits)

    def test_what_is_learned_for_a_word_moves_the_topic(self):
        state = initial_state()
        state["associations"]["ouroboros"] = {"yield": 3.0}
        self.assertEqual("yield", ranking.rank({"ouroboros": 1.0}, "fields", state, 1)[0].topic)

    def test_the_untried_state_serves_its_default(self):
        self.assertEqual("frequency", strategies.choose(initial_state()["strategies"]))

    def test_rewards_decide_and_the_little_tried_get_a_chance(self):
        arms = {"a": {"trials": 50, "mean": 0.5}, "b": {"trials": 50, "mean": 0.4}, "c": {"trials": 0, "mean": 0.0}}
        self.assertEqual("a", strategies.choose({"default": "b", "explore": 0.1, "arms": arms}))
        self.assertEqual("c", strategies.choose({"default": "b", "explore": 1.0, "arms": arms}))

    def test_followups(self):
        table = {"and how do I stop it?": True, "what about tuples": True, "can they nest": True, "how do I stop a loop": False, "": False}
        for question, expected in table.items():
            self.assertEqual(expected, followups.is_followup(question), question)

    def test_memory_counts_less_than_the_question(self):
        memory = followups.remember({"loop": 1.0, "list": 1.0}, "for")
        self.assertEqual({"loop": 0.5, "list": 1.0, "else": 1.0}, followups.with_memory({"list": 1.0, "else": 1.0}, memory, 0.5))


class Learning(unittest.TestCase):
    def test_a_step_is_a_function_of_state_and_signal(self):
        results = []
        for _ in range(2):
            state = initial_state()
            judgements.step(state, "how do I go through a list", ["for"])
            judgements.step(state, "stop a loop", ["break", "while"])
            results.append(json.dumps(state))
        self.assertEqual(results[0], results[1])
        self.assertNotEqual(results[0], json.dumps(initial_state()))

    def test_a_step_raises_the_right_topic(self):
        def place(state):
            hits = ranking.rank(ranking.distinct("go through everything in a box"), "fields", state, 99)
            return next(number for number, hit in enumerate(hits) if hit.topic == "for")

        state = initial_state()
        before = place(state)
        judgements.step(state, "go through everything in a box", ["for"])
        self.assertLess(place(state), before)

    def test_a_state_after_many_steps_fits_the_schema(self):
        schema = json.loads((EXAMPLE / "state/schema.json").read_text())
        state = initial_state()
        for _ in range(60):
            judgements.step(state, "zzyzx loop", ["nonlocal"])
            judgements.step(state, "loop", ["for"])
        self.assertEqual([], misfits(state, schema, schema))

    def test_wrong_judgements_say_why(self):
        table = [("", ["for"], "no words"), ("loop", [], "relevant is empty"), ("loop", ["fore"], "'fore'")]
        for query, relevant, message in table:
            with self.assertRaisesRegex(ValueError, message):
                judgements.check(query, relevant)

    def test_rewards_are_means(self):
        arms = copy.deepcopy(initial_state()["strategies"]["arms"])
        for value in (1.0, 0.0, 0.5):
            rewards.credit(arms, "bm25", value)
        self.assertEqual({"trials": 3, "mean": 0.5}, arms["bm25"])

    def test_wrong_rewards_count_nothing(self):
        arms = copy.deepcopy(initial_state()["strategies"]["arms"])
        for strategy, value in (("bm25", 1.5), ("oracle", 1.0), ("bm25", float("nan"))):
            with self.assertRaises(ValueError):
                rewards.credit(arms, strategy, value)
        self.assertEqual(initial_state()["strategies"]["arms"], arms)

    def test_a_conversation_credits_each_strategy_once(self):
        turns = [{"facts": {"strategy": "bm25"}}, {"facts": {}}, {"facts": {"strategy": "fields"}}, {"facts": {"strategy": "bm25"}}, {}]
        self.assertEqual(["bm25", "fields"], rewards.strategies_used(turns))


class Gain(unittest.TestCase):
    def test_tuning_helps_on_held_out_queries(self):
        program = [sys.executable, str(ROOT / "tests/python/heldout.py"), str(EXAMPLE)]
        measured = json.loads(subprocess.run(program, check=True, capture_output=True, text=True).stdout)
        self.assertGreaterEqual(measured["tuned"], measured["baseline"] + 0.08, measured)


if __name__ == "__main__":
    unittest.main()
