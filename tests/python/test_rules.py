"""The template `rules`: conditions, votes, induction, the kept examples, and retirement."""

import copy
import json
import math
import random
import unittest

import repositories

TEMPLATE = repositories.ROOT / "templates/rules"
conditions, voting, boosting, candidates, weights, learning = repositories.modules(
    TEMPLATE,
    "runner.conditions",
    "runner.voting",
    "tuner.boosting",
    "tuner.candidates",
    "tuner.weights",
    "tuner.learning",
)
Example = boosting.Example


def state(**model):
    found = repositories.state(TEMPLATE)
    found["model"] |= model
    found["labels"] = {}
    return found


def learned(examples, **model):
    """The state after (features, label) of each example."""
    found = state(**model)
    for number, (features, label) in enumerate(examples):
        learning.learn(found, features, label, f"e{number}")
    return found


def squares(count, seed=1, noise=0.0):
    """Points of a square: `in` where x is above 6, else `out`. y says nothing."""
    generator = random.Random(seed)
    for _ in range(count):
        x, y = generator.uniform(0, 10), generator.uniform(0, 10)
        label = "in" if x > 6 else "out"
        if generator.random() < noise:
            label = "out" if label == "in" else "in"
        yield {"x": round(x, 2), "y": round(y, 2)}, label


def settings(**changes):
    return learning.settings_of({**state()["model"], **changes})


def induced(examples, bounds=None, **changes):
    kept = [Example(features, label) for features, label in examples]
    labels = {label: [one.label for one in kept].count(label) for label in {k.label for k in kept}}
    return boosting.induce(kept, labels, settings(**changes), bounds or {})


def sentences(found):
    return sorted(voting.sentence(rule._asdict()) for rule in found)


class Conditions(unittest.TestCase):
    def test_conditions(self):
        table = [
            ("x", "<=", 3, {"x": 3}, True),
            ("x", ">", 3, {"x": 3.5}, True),
            ("x", ">", 3, {"x": True}, False),
            ("x", "<=", 3, {"x": "2"}, False),
            ("x", "<=", 3, {}, False),
            ("x", ">", "3", {"x": 4}, False),
            ("plan", "equals", "pro", {"plan": "pro"}, True),
            ("plan", "equals", "pro", {"plan": "professional"}, False),
            ("chat", "equals", True, {"chat": True}, True),
            ("chat", "equals", True, {"chat": 1}, False),
            ("text", "contains", "refund", {"text": "A Refund, please"}, True),
            ("text", "contains", "fun", {"text": "A refund, please"}, False),
            ("tags", "contains", "vip", {"tags": ["new", "vip"]}, True),
        ]
        for feature, op, value, features, expected in table:
            condition = {"feature": feature, "op": op, "value": value}
            self.assertIs(expected, conditions.holds(condition, features), (condition, features))

    def test_wrong_features_are_refused(self):
        table = [
            ({}, "is empty"),
            ({"x": None}, "'x' is None"),
            ({"t": "a" * 2001}, "longer"),
            ({"x": 1e308}, "at most 1e\\+15"),
            ({"x": -(10**400)}, "at most 1e\\+15"),
            ({"x": math.inf}, "'x' is inf"),
            ({"x": math.nan}, "'x' is nan"),
        ]
        for features, message in table:
            with self.assertRaisesRegex(ValueError, message):
                conditions.check(features)

    def test_a_rule_is_readable(self):
        keys = [("amount", ">", 3), ("plan", "equals", "pro")]
        rule = {"conditions": boosting.conditions_of(keys), "label": "sales"}
        self.assertEqual("if amount > 3 and plan is 'pro' then sales", voting.sentence(rule))


class Candidates(unittest.TestCase):
    def test_a_cut_has_few_decimals(self):
        table = [(1, 2, 1), (1.0, 4.0, 2), (0.1234, 0.1238, 0.1236), (5, 5.001, 5), (-1, 0, -1)]
        for low, high, expected in table:
            found = candidates.between(low, high)
            self.assertTrue(low <= found < high, (low, high, found))
            self.assertEqual(expected, found)

    def test_all_conditions_of_a_feature_are_found(self):
        rows = [{"x": 1, "t": "a b"}, {"x": 2, "t": "a c"}, {"x": 2, "p": "one"}, {"p": "one"}]
        cuts, words, plan = sorted(
            candidates.columns(rows, 16, 2, {}),
            key=lambda column: "xtp".index(
                column.feature if isinstance(column, candidates.Cuts) else column.members[0][0][0]
            ),
        )
        self.assertEqual(([[0], [1, 2]], [1]), (cuts.groups, cuts.cuts))
        self.assertEqual([(("t", "contains", "a"), [0, 1])], words.members)
        self.assertEqual([(("p", "equals", "one"), [2, 3])], plan.members)

    def test_known_bounds_are_used_again(self):
        numbers = [(float(number), number) for number in range(100)]
        fresh = candidates.cut("x", numbers, 9, set()).cuts
        again = candidates.cut("x", numbers, 9, {51.5}).cuts
        self.assertEqual(len(fresh), len(again))
        self.assertIn(51.5, again)
        self.assertEqual(8, len(set(fresh) & set(again)))


class Induction(unittest.TestCase):
    def test_a_planted_rule_is_found_and_noise_is_not(self):
        found = induced(list(squares(300)), most_cuts=32)
        self.assertEqual({"x"}, {one["feature"] for rule in found for one in rule.conditions})
        for rule in found:
            self.assertAlmostEqual(6, rule.conditions[0]["value"], delta=0.4)
            self.assertGreater(rule.right / rule.support, 0.9)

    def test_labels_by_chance_give_few_rules(self):
        generator = random.Random(3)
        rows = [(features, generator.choice("ab")) for features, _ in squares(400)]
        self.assertLessEqual(len(induced(rows, level=0.0001)), 1)
        self.assertEqual([], induced([(features, "a") for features, _ in rows]))

    def test_two_conditions_are_joined_where_one_is_too_few(self):
        generator, rows = random.Random(5), []
        for _ in range(600):
            x, y = generator.random(), generator.random()
            rows.append(({"x": x, "y": y}, "corner" if x > 0.7 and y > 0.7 else "rest"))
        found = [rule for rule in induced(rows) if rule.label == "corner"]
        pairs = [rule for rule in found if len(rule.conditions) == 2]
        self.assertTrue(pairs)
        self.assertEqual({"x", "y"}, {one["feature"] for one in pairs[0].conditions})
        self.assertTrue(all(len(rule.conditions) == 1 for rule in induced(rows, most_conditions=1)))

    def test_support_and_confidence_are_those_of_the_examples(self):
        rows = list(squares(200, noise=0.1))
        for rule in induced(rows):
            fires = [conditions.all_hold(rule.conditions, features) for features, _ in rows]
            covered = [label for (_, label), fire in zip(rows, fires, strict=True) if fire]
            self.assertEqual((len(covered), covered.count(rule.label)), (rule.support, rule.right))
            self.assertGreater(rule.right / rule.support, rule.share)

    def test_the_order_of_the_examples_is_of_no_account_to_the_rules(self):
        rows = list(squares(200, noise=0.1))
        self.assertEqual(sentences(induced(rows)), sentences(induced(rows[::-1])))

    def test_the_weights_are_the_scores_that_were_fitted(self):
        kept = [Example(*row) for row in squares(200, noise=0.1)]
        labels = {"in": 80, "out": 120}
        booster = boosting.Booster(kept, labels, settings(), {})
        rules = boosting.induce(kept, labels, settings(), {})
        while (step := booster.best()) is not None:
            booster.take(step)
        whole = {"rules": {str(n): {**rule._asdict(), "ended": {}} for n, rule in enumerate(rules)}}
        for row, one in enumerate(kept):
            decision = voting.decide({**whole, "labels": labels}, one.features)
            fitted = voting.softmax({label: booster.scores[label][row] for label in labels})
            self.assertAlmostEqual(fitted["in"], decision.probabilities["in"])


    def test_the_weights_are_the_maximum_of_the_penalised_likelihood(self):
        generator, penalty = random.Random(8), 1.5
        rules, given, fired = ["a", "b", "a"], [], []
        for _ in range(300):
            mask = generator.randrange(8)
            of_a = 0.3 + 0.4 * (mask & 1) - 0.25 * (mask >> 1 & 1)
            given.append("a" if generator.random() < of_a else generator.choice("bc"))
            fired.append(mask)
        start = {"a": -1.0, "b": -1.2, "c": -1.1}
        found = weights.fit(rules, fired, given, start, [0.0] * 3, penalty)
        self.assertGreater(min(found[:2]), 0.2)
        for number, label in enumerate(rules):
            slope = -penalty * found[number]
            for mask, one in zip(fired, given, strict=True):
                if mask >> number & 1:
                    of_labels = voting.softmax(weights.scores(rules, mask, start, found))
                    slope += (one == label) - of_labels[label]
            # a weight of 0 is a bound
            self.assertTrue(abs(slope) < 0.02 or (found[number] == 0 and slope < 0), slope)

    def test_no_rule_says_what_another_one_says(self):
        generator, rows = random.Random(11), []
        for _ in range(200):
            x = round(generator.uniform(0, 10), 2)
            rows.append(({"x": x, "twice": 2 * x, "minus": -x}, "in" if x > 6 else "out"))
        found = induced(rows)
        covers = {
            (rule.label, *(conditions.all_hold(rule.conditions, features) for features, _ in rows))
            for rule in found
        }
        self.assertEqual(len(found), len(covers))
        self.assertLessEqual(len(found), 2)


class Learning(unittest.TestCase):
    def test_the_signals_teach_the_tickets(self):
        found = repositories.state(TEMPLATE)
        for signal in repositories.lines(TEMPLATE / "signals/feedback.jsonl"):
            learning.learn(found, **named(signal["arguments"]))
        cases = repositories.lines(TEMPLATE / "tests/full/heldout/tickets.jsonl")
        right = sum(
            voting.decide(found, case["arguments"]["features"]).label
            == case["expect"]["subset"]["label"]
            for case in cases
        )
        self.assertGreater(right / len(cases), 0.8)
        self.assertLess(len(json.dumps(found)), 200_000)

    def test_learning_is_a_function_of_state_and_signal(self):
        one, other = (learned(squares(120, noise=0.1)) for _ in range(2))
        self.assertEqual(json.dumps(one), json.dumps(other))

    def test_rules_are_induced_after_so_many_examples(self):
        found, ids = state(induce_every=40), []
        for features, label in squares(100):
            learning.learn(found, features, label, "")
            ids.append(found["induced_at"])
        self.assertEqual([0, 40, 80], sorted(set(ids)))
        self.assertTrue(learning.active(found))

    def test_in_between_the_support_grows(self):
        found = learned(squares(100), induce_every=100)
        name, rule = max(learning.active(found).items(), key=lambda one: one[1]["support"])
        before = dict(rule)
        learning.learn(found, {"x": 9.9 if rule["label"] == "in" else 0.1}, rule["label"], "")
        after = found["rules"][name]
        grown = {key: after[key] - before[key] for key in ("support", "right", "fired", "hits")}
        self.assertEqual(dict.fromkeys(grown, 1), grown)

    def test_the_kept_examples_are_the_same_in_any_order_and_bounded(self):
        rows = [(f"e{number}", *row) for number, row in enumerate(squares(80))]
        kept = []
        for order in (rows, rows[::-1]):
            found = state(examples=30, induce_every=1000)
            for name, features, label in order:
                learning.learn(found, features, label, name)
            kept.append(set(found["examples"]))
        self.assertEqual(30, len(kept[0]))
        self.assertEqual(*kept)
        # of two machines, the smallest hashes of both are what one machine would have kept
        halves = [state(examples=30, induce_every=1000) for _ in range(2)]
        for number, (name, features, label) in enumerate(rows):
            learning.learn(halves[number % 2], features, label, name)
        joined = state(examples=30)
        joined["examples"] = halves[0]["examples"] | halves[1]["examples"]
        learning.trim(joined)
        self.assertEqual(kept[0], set(joined["examples"]))

    def test_a_correction_takes_the_place_of_the_example(self):
        found = learned(squares(30), induce_every=1000)
        before = copy.deepcopy(found)
        learning.learn(found, {"x": 1.0}, "new", "e3")
        old = before["examples"]["e3"]
        corrected = {"features": {"x": 1.0}, "label": "new", "at": old["at"]}
        self.assertEqual(corrected, found["examples"]["e3"])
        self.assertEqual(before["seen"], found["seen"])
        self.assertEqual(before["labels"][old["label"]] - 1, found["labels"][old["label"]])
        self.assertEqual(1, found["labels"]["new"])

    def test_a_rule_keeps_its_id_and_a_new_bound_is_a_new_version(self):
        found = learned(squares(100))
        rows = list(squares(400, seed=9))
        born = {name: rule["born"] for name, rule in found["rules"].items()}
        for features, label in rows:
            learning.learn(found, features, label, "")
        for name, rule in found["rules"].items():
            self.assertEqual(born.get(name, rule["born"]), rule["born"])
            self.assertGreaterEqual(rule["version"], 1)
        rules = found["rules"].values()
        versions = {json.dumps([learning.shape(rule), rule["version"]]) for rule in rules}
        self.assertEqual(len(rules), len(versions))
        reasons = {reason for rule in rules for reason in rule["ended"]}
        self.assertEqual({learning.SUPERSEDED}, reasons)

    def test_wrong_examples_change_nothing(self):
        found = learned(squares(10))
        before = copy.deepcopy(found)
        many = {f"f{number}": 1 for number in range(101)}
        for features, label in (({}, "a"), ({"x": 1}, " "), ({"x": 1}, "l" * 101), (many, "a")):
            with self.assertRaises(ValueError):
                learning.learn(found, features, label, "")
        self.assertEqual(before, found)


    def test_odd_examples_are_learned_from(self):
        tables = {
            "a feature that is missing": [({"xy"[n % 2]: n}, "ab"[n % 2]) for n in range(60)],
            "a constant": [({"x": 1, "c": "same"}, "ab"[n % 2]) for n in range(60)],
            "kinds": [({"x": [n, "w", True, ["a"]][n % 4]}, "ab"[n % 2]) for n in range(60)],
            "one class": [({"x": n}, "a") for n in range(60)],
            "a late class": [({"x": n}, "a" if n < 55 else "b") for n in range(60)],
            "large": [({"x": (-1) ** n * 1e15}, "ab"[n % 2]) for n in range(60)],
            "empty": [({"t": [], "u": " "}, "ab"[n % 2]) for n in range(60)],
        }
        for name, rows in tables.items():
            with self.subTest(name):
                found = learned(rows)
                json.dumps(found, allow_nan=False)
                self.assertIn(voting.decide(found, rows[0][0]).label, found["labels"])

    def test_a_state_that_was_edited(self):
        found = learned(squares(60))
        rule = next(iter(learning.active(found).values()))
        where = {"x": 9.9 if rule["label"] == "in" else 0.1, "y": 5.0}
        del found["labels"][rule["label"]]
        with self.assertRaisesRegex(ValueError, "which is not in the state's labels"):
            voting.decide(found, where)
        found["examples"]["e3"]["label"] = "unknown"
        learning.learn(found, where, rule["label"], "e3")
        self.assertEqual(0, found["labels"]["unknown"])
        self.assertIn(rule["label"], voting.decide(found, where).probabilities)
        rule["conditions"][0] |= {"op": ">", "value": "much"}
        learning.renew(found)
        self.assertTrue(learning.active(found))


class Retirement(unittest.TestCase):
    def test_a_rule_that_stops_paying_is_retired_with_its_reason(self):
        found = learned(squares(200), induce_every=1000, retire_level=0.01)
        learning.renew(found)
        rules = set(learning.active(found))
        generator = random.Random(2)
        for _ in range(200):
            x = round(generator.uniform(0, 10), 2)
            learning.learn(found, {"x": x, "y": 5.0}, "out" if x > 6 else "in", "")
        self.assertFalse(rules & set(learning.active(found)))
        reasons = [reason for name in rules for reason in found["rules"][name]["ended"]]
        self.assertTrue(any(reason.startswith("retired: ") for reason in reasons), reasons)
        # what it was learned from is forgotten, and the new way is learned
        learning.renew(found)
        self.assertEqual("out", voting.decide(found, {"x": 9.0, "y": 5.0}).label)

    def test_a_rule_that_pays_is_kept(self):
        generator, ended = random.Random(4), 0
        for _ in range(200):
            rule = {"needs": 0.4, "against": 0.0}
            for _ in range(200):
                rule["against"] = learning.evidence(rule, generator.random() < 0.4)
                if rule["against"] >= math.log(1 / 0.001):
                    ended += 1
                    break
        # 200 runs of 200 firings at the very bound; one in 1,000 firings would be 40
        self.assertLess(ended, 40)

    def test_the_bet_has_no_gain_at_the_bound(self):
        for needs in (0.1, 0.5, 0.9):
            rule = {"needs": needs, "against": 50.0}
            right, wrong = (learning.evidence(rule, is_right) - 50 for is_right in (True, False))
            mean = needs * math.exp(right) + (1 - needs) * math.exp(wrong)
            self.assertAlmostEqual(1, mean)

    def test_ended_rules_are_bounded(self):
        found = learned(squares(60))
        name, rule = next(iter(found["rules"].items()))
        for number in range(120):
            found["rules"][f"old-{number}"] = {**rule, "ended": {"superseded": number}}
        learning.forget_ended(found)
        ended = [rule for rule in found["rules"].values() if rule["ended"]]
        self.assertEqual(50, len(ended))
        self.assertIn("old-119", found["rules"])


def named(arguments):
    """The arguments of a signal as those of `learn`."""
    return {
        "features": arguments["features"],
        "label": arguments["label"],
        "given": arguments["example_id"],
    }


if __name__ == "__main__":
    unittest.main()
