"""templates/bandit: its data, its policies against references, and what its Tuner learns."""

import copy
import itertools
import json
import math
import random
import statistics
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "templates/bandit"
sys.path[:0] = [str(TEMPLATE), str(ROOT / "tests/python")]

import bandit_traffic  # noqa: E402
from in_process import Tools  # noqa: E402

from bandit import best, draw, learning, linear, policy, window  # noqa: E402
from bandit.features import vector  # noqa: E402

TOOLS = Tools(TEMPLATE)
REQUEST = {"kind": "bug", "words": 80, "has_code": 1}
WINDOWS = [{"kind": "none"}, {"kind": "discount", "gamma": 0.9}, {"kind": "sliding", "size": 12}]


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def initial_state(**changes):
    state = json.loads((TEMPLATE / "state/active.state.json").read_text())
    state["policy"] |= changes
    return state


def plain_state(arms="ab", **changes):
    """A state without features."""
    names = {name: {"n": 0, "sum": 0, "squares": 0} for name in arms}
    return initial_state(**changes) | {"features": [], "arms": names}


def rewards(number, seed=0):
    """Choices with their rewards: (call, arm, x, value)."""
    chance, features = random.Random(seed), initial_state()["features"]
    made = []
    for at in range(number):
        context, arm = bandit_traffic.request(chance), chance.choice(bandit_traffic.ARMS)
        value = bandit_traffic.rewarded(chance, context, arm)
        made.append((f"{seed}/{at}", arm, vector(features, context), value))
    return made


def learned(state, given):
    state = copy.deepcopy(state)
    for call, arm, x, value in given:
        learning.learn(state, call, arm, x, value)
    return state


def chances(state, x=(1000,)):
    now = [
        window.current(arm, state["policy"]["window"], state["steps"])
        for arm in state["arms"].values()
    ]
    return policy.evaluate(state["policy"], now, x)


def counting(state):
    """What a policy sees: for each arm the sums that count, as real numbers."""
    settings, steps = state["policy"]["window"], state["steps"]
    seen = {name: window.current(arm, settings, steps) for name, arm in state["arms"].items()}
    keys = ("n", "sum", "squares", "A", "b")
    return {name: {key: sums[key] for key in keys if sums.get(key)} for name, sums in seen.items()}


def drawn(makers, number=40_000, seed=1):
    """Reference: how often each of these random values is the highest."""
    chance, wins = random.Random(seed), [0] * len(makers)
    for _ in range(number):
        values = [make(chance) for make in makers]
        wins[values.index(max(values))] += 1
    return [count / number for count in wins]


class Data(unittest.TestCase):
    def test_signals_and_cases_are_as_they_were_made(self):
        self.assertEqual(bandit_traffic.signals(), lines(TEMPLATE / "signals/feedback.jsonl"))
        chance = random.Random(2)
        sets = {**bandit_traffic.CASES, "full/heldout/requests": bandit_traffic.HELD_OUT}
        for name, number in sets.items():
            made = bandit_traffic.cases(name, number, chance)
            self.assertEqual(made, lines(TEMPLATE / f"tests/{name}.jsonl"))

    def test_each_sum_has_a_rule_of_merging(self):
        schema = json.loads((TEMPLATE / "state/schema.json").read_text())
        rules = {
            name: schema["$defs"][name]["x-agent-merge"]
            for name in ("n", "sum", "squares", "A", "b")
        }
        self.assertEqual({"sum"}, {*rules.values(), schema["properties"]["steps"]["x-agent-merge"]})


class Context(unittest.TestCase):
    def test_a_context_becomes_thousandths(self):
        features = [
            {"name": "size", "center": 10, "scale": 4},
            {"name": "kind", "values": ["a", "b"]},
        ]
        self.assertEqual([1000, -2250, 0, 1000], vector(features, {"size": 1, "kind": "b"}))
        self.assertEqual([1000, 0, 0, 0], vector(features, {"kind": "other", "size": 10}))
        self.assertEqual([1000], vector([], None))

    def test_a_context_that_does_not_fit_says_why(self):
        features = initial_state()["features"]
        table = [
            ({"kind": "bug"}, "lacks words, has_code"),
            ({**REQUEST, "word": 1}, "did you mean words"),
            ({**REQUEST, "words": "1"}, "must be a number"),
            ({**REQUEST, "words": 1e6}, "after scaling"),
            ({**REQUEST, "words": math.nan}, "from -1000 to 1000"),
        ]
        for context, message in table:
            with self.subTest(context), self.assertRaisesRegex(ValueError, message):
                vector(features, context)


class Policies(unittest.TestCase):
    def test_probabilities_of_normals_are_those_of_drawing(self):
        for means, widths in [
            ((0, 1), (1, 1)),
            ((0, 0.1, 0.3), (0.5, 0.01, 0.1)),
            ((1, 1, 5), (1, 2, 0.5)),
        ]:
            makers = [
                lambda chance, a=a, w=w: chance.gauss(a, w)
                for a, w in zip(means, widths, strict=True)
            ]
            for ours, theirs in zip(best.of_normals(means, widths), drawn(makers), strict=True):
                self.assertAlmostEqual(theirs, ours, delta=0.012)
        # P(N(0, 1) > N(1, 1)) = Φ(-1/√2)
        self.assertAlmostEqual(math.erfc(0.5) / 2, best.of_normals([0, 1], [1, 1])[0], delta=3e-3)

    def test_probabilities_of_betas_are_those_of_drawing(self):
        for shapes in [
            ((1, 1), (1, 1), (2, 1)),
            ((1, 5000), (3, 900)),
            ((40, 60), (400, 600), (1, 1)),
        ]:
            makers = [lambda chance, s=s: chance.betavariate(*s) for s in shapes]
            for ours, theirs in zip(best.of_betas(shapes), drawn(makers), strict=True):
                self.assertAlmostEqual(theirs, ours, delta=0.012)
        # P(Beta(2, 1) > Beta(1, 1)) = 2/3
        self.assertAlmostEqual(2 / 3, best.of_betas([(2, 1), (1, 1)])[0], delta=3e-3)

    def test_probabilities_at_the_extremes(self):
        for found in (
            best.of_normals([0.0, 0.0], [0.0, 0.0]),
            best.of_betas([(1e6, 1.0), (1e6, 1.0)]),
            best.of_betas([(1.0, 1e6), (1.0, 1e6)]),
        ):
            self.assertAlmostEqual(0.5, found[0], delta=1e-6)
        self.assertEqual([1.0], best.of_normals([3.0], [1.0]))
        self.assertEqual([0.0, 1.0], best.of_normals([0.0, 1.0], [1e-3, 1e-3]))

    def test_ucb1_is_mean_plus_bound(self):
        state = plain_state("ab", algorithm="ucb1")
        self.assertEqual([0.5, 0.5], chances(state)[1])
        state = learned(state, [(None, "a", [1000], 0.9)])
        self.assertEqual([0.0, 1.0], chances(state)[1], "the arm without a reward is first")
        state = learned(state, [(None, "b", [1000], 0.5)] * 3)
        # 0.9 + √(2 ln 4 / 1) > 0.5 + √(2 ln 4 / 3)
        self.assertEqual([1.0, 0.0], chances(state)[1])
        state = learned(state, [(None, "a", [1000], 0.5)] * 20)
        self.assertEqual([0.0, 1.0], chances(state)[1], "b has been tried less")

    def test_square_cb_is_inverse_gap_weighting(self):
        state = plain_state("abc", algorithm="square-cb", ridge=0.001)
        state["policy"]["exploration"] = {"square-cb": 2.0}
        state = learned(state, [(None, "a", [1000], 1.0), (None, "b", [1000], 0.5)])
        estimates, found = chances(state)
        gamma = 2 * math.sqrt(3)
        others = [1 / (3 + gamma * (estimates[0] - estimate)) for estimate in estimates[1:]]
        for expected, ours in zip([1 - sum(others), *others], found, strict=True):
            self.assertAlmostEqual(expected, ours, places=12)

    def test_square_cb_weighs_the_gaps_of_upper_bounds(self):
        state = plain_state("ab", algorithm="square-cb", ridge=1.0)
        state["policy"]["exploration"] = {"square-cb": 50.0, "square-cb-alpha": 0.6}
        state = learned(state, [(None, "a", [1000], 0.4)] * 3)
        # a: 1.2 / 4 + 0.6 √(1/4) = 0.6, and b: 0 + 0.6
        estimates, found = chances(state)
        for expected, ours in zip((0.3, 0.0, 0.5, 0.5), (*estimates, *found), strict=True):
            self.assertAlmostEqual(expected, ours)
        del state["policy"]["exploration"]["square-cb-alpha"]
        self.assertAlmostEqual(1 / (2 + 50 * 2 * 0.3), chances(state)[1][1])

    def test_the_linear_model_is_ridge_regression(self):
        state = learned(initial_state(ridge=0.7), rewards(60))
        arm = state["arms"]["faq"]
        rows = [(x, value) for _, name, x, value in rewards(60) if name == "faq"]
        size = len(rows[0][0])
        model = linear.posterior(tuple(arm["A"]), tuple(arm["b"]), 0.7)
        # the normal equations hold: (Σ x xᵀ + λI) θ = Σ r x
        for at in range(size):
            left = (
                0.7 * model.weights[at]
                + sum(
                    x[at] * sum(w * v for w, v in zip(model.weights, x, strict=True))
                    for x, _ in rows
                )
                / 1e6
            )
            self.assertAlmostEqual(sum(value * x[at] for x, value in rows) / 1000, left, places=9)
        # and width² is xᵀ y with (Σ x xᵀ + λI) y = x
        x = [value / 1000 for value in rows[0][0]]
        y = linear.backward(model.factor, linear.forward(model.factor, x))
        self.assertAlmostEqual(model.width(x) ** 2, sum(map(float.__mul__, x, y)), places=12)

    def test_without_features_the_linear_model_is_the_shrunken_mean(self):
        state = learned(plain_state("ab", algorithm="lin-ucb"), [(None, "a", [1000], 0.9)] * 2)
        self.assertAlmostEqual(1.8 / 3, chances(state)[0][0])

    def test_every_policy_finds_the_best_arm(self):
        for name in policy.CHANCES:
            with self.subTest(name):
                state, chance = plain_state("abc", algorithm=name), random.Random(5)
                means, counts = {"a": 0.2, "b": 0.8, "c": 0.5}, []
                for step in range(400):
                    result, _ = TOOLS.run("choose", state, f"c{step}", 1, str(step))
                    counts.append(result["arm"])
                    value = float(chance.random() < means[result["arm"]])
                    learning.learn(state, None, result["arm"], [1000], value)
                self.assertGreater(counts[200:].count("b"), 150)

    def test_the_floor_is_the_least_propensity(self):
        state = learned(initial_state(floor=0.05, algorithm="lin-ucb"), rewards(80))
        result, _ = TOOLS.run("choose", state, "c", 1, context=REQUEST)
        self.assertEqual([0.05, 0.05, 0.05, 0.85], sorted(result["propensities"].values()))
        with self.assertRaisesRegex(ValueError, r"policy.floor is 0.3: with 4 arms at most 0.250"):
            TOOLS.run("choose", initial_state(floor=0.3), context=REQUEST)


class Draws(unittest.TestCase):
    def test_shares_are_millionths_that_sum_to_one(self):
        self.assertEqual([333_334, 333_333, 333_333], draw.shares([1 / 3] * 3))
        self.assertEqual([1_000_000, 0], draw.shares([1 - 1e-9, 1e-9]))

    def test_an_arm_is_drawn_with_its_share(self):
        parts, number = {"a": 700_000, "never": 0, "b": 300_000}, 20_000
        counts = [draw.arm(parts, ["rev", "c", turn, [1]]) for turn in range(number)]
        self.assertNotIn("never", counts)
        # four standard deviations
        self.assertAlmostEqual(0.7, counts.count("a") / number, delta=4 * math.sqrt(0.21 / number))

    def test_a_choice_is_a_function_of_state_conversation_and_turn(self):
        state = initial_state()
        choose = lambda *at: TOOLS.run("choose", state, *at, context=REQUEST)  # noqa: E731
        self.assertEqual(choose("c1", 1, "r"), choose("c1", 1, "r"))
        for varied in (
            [(f"c{n}", 1, "r") for n in range(30)],
            [("c", n, "r") for n in range(30)],
            [("c", 1, f"{n}") for n in range(30)],
        ):
            self.assertEqual(set(state["arms"]), {choose(*at)[0]["arm"] for at in varied})

    def test_the_facts_of_a_choice(self):
        result, facts = TOOLS.run("choose", initial_state(), "c1", 3, context=REQUEST)
        self.assertEqual({"arm", "propensity", "propensities", "context", "turn"}, set(facts))
        self.assertEqual(("c1/3", 3, REQUEST), (result["call"], facts["turn"], facts["context"]))
        self.assertEqual(facts["propensity"], facts["propensities"][facts["arm"]])
        result, _ = TOOLS.run("choose", initial_state(), context=REQUEST)
        self.assertIsNone(result["call"])


class Rewards(unittest.TestCase):
    def choice(self, state, conversation="c1", turn=1):
        _, facts = TOOLS.run("choose", state, conversation, turn, context=REQUEST)
        return {"tool": "choose", "arguments": {"context": REQUEST}, "facts": facts}

    def test_a_reward_is_a_function_of_state_and_signal(self):
        for settings in WINDOWS:
            state = initial_state(window=settings)
            self.assertEqual(learned(state, rewards(40)), learned(state, rewards(40)))

    def test_a_later_reward_of_a_choice_replaces_the_earlier_one(self):
        others = rewards(20, seed=1)
        call, arm, x, _ = rewards(1)[0]
        for settings in WINDOWS:
            with self.subTest(settings):
                state = initial_state(window=settings)
                once = learned(state, [(call, arm, x, 0.25), *others[:5]])
                again = learned(state, [(call, arm, x, 1), (call, arm, x, 0), *others[:5]])
                learning.correct(again, call, 0.9)
                learning.correct(again, call, 0.25)
                self.assertEqual(once, again)
                self.assertEqual(learned(once, others[5:]), learned(again, others[5:]))

    def test_a_choice_is_named_by_conversation_or_by_call(self):
        state, turns = initial_state(), []
        turns = [self.choice(state, turn=turn) for turn in (1, 2)]
        _, first = TOOLS.tune("reward", state, "c1", turns, value=0.3, turn=1)
        self.assertEqual(["c1/1"], list(first["recent"]))
        _, both = TOOLS.tune("reward", first, "c1", turns, value=1)
        self.assertEqual((["c1/1", "c1/2"], 2), (sorted(both["recent"]), both["steps"]))
        # corrected by call, with the arm and the context and without
        arm = turns[1]["facts"]["arm"]
        named = {"call": "c1/2", "arm": arm, "context": REQUEST}
        _, by_call = TOOLS.tune("reward", both, value=0.5, call="c1/2")
        _, by_arm = TOOLS.tune("reward", both, value=0.5, **named)
        _, by_talk = TOOLS.tune("reward", both, "c1", turns, value=0.5)
        self.assertEqual(by_call, by_arm)
        self.assertEqual(by_call, by_talk)
        self.assertEqual(2, sum(sums["n"] for sums in by_call["arms"].values()))
        # the same reward without a conversation is the same learning
        _, elsewhere = TOOLS.tune("reward", first, value=0.5, **named)
        self.assertEqual(by_call, elsewhere)

    def test_a_delayed_reward_counts_under_the_context_of_its_choice(self):
        state = initial_state()
        turn = self.choice(state)
        later = learned(state, rewards(50))
        _, rewarded = TOOLS.tune("reward", later, "c1", [turn], value=0.8)
        x = vector(state["features"], REQUEST)
        self.assertEqual(learned(later, [("c1/1", turn["facts"]["arm"], x, 0.8)]), rewarded)

    def test_the_memory_is_bounded(self):
        state = learned(initial_state(memory=7), rewards(30))
        self.assertEqual([f"0/{at}" for at in range(23, 30)], sorted(state["recent"]))
        self.assertEqual(30, sum(arm["n"] for arm in state["arms"].values()))

    def test_rewards_that_cannot_be_learned_say_why(self):
        state = initial_state()
        turns = [self.choice(state)]
        silent = [{"tool": "other", "facts": {}}]
        other = next(arm for arm in state["arms"] if arm != turns[0]["facts"]["arm"])
        _, known = TOOLS.tune("reward", state, "c1", turns, value=1)
        table = [
            (state, None, [], {}, "name the choice"),
            (state, None, [], {"call": "x"}, "call is 'x', of which no recent reward"),
            (
                state,
                None,
                [],
                {"arm": "wizard", "context": REQUEST},
                "arm is 'wizard': the state has faq",
            ),
            (state, None, [], {"arm": "faq"}, "context lacks"),
            (state, "c1", silent, {}, "has no turn in which an arm was chosen"),
            (state, "c1", turns, {"turn": 2}, "turn is 2: conversation 'c1' has choices at 1"),
            (state, "c1", turns, {"arm": "faq"}, "both a conversation and"),
            (
                known,
                None,
                [],
                {"call": "c1/1", "arm": other, "context": REQUEST},
                "rewarded before",
            ),
            (state, "c1", turns, {"value": 1e9}, "from -1000 to 1000"),
            (
                initial_state(algorithm="ucb1"),
                "c1",
                turns,
                {"value": 2},
                "takes rewards from 0 to 1",
            ),
        ]
        for before, talk, shown, arguments, message in table:
            with self.subTest(message), self.assertRaisesRegex(ValueError, message):
                TOOLS.tune("reward", before, talk, shown, **{"value": 1, **arguments})

    def test_other_features_than_those_of_the_sums_are_refused(self):
        state = learned(initial_state(), rewards(30))
        state["features"] = state["features"][:2]
        less = {key: REQUEST[key] for key in ("kind", "words")}
        with self.assertRaisesRegex(ValueError, "arms without A, b and windowed"):
            TOOLS.tune("reward", state, value=1, arm="faq", context=less)
        with self.assertRaisesRegex(ValueError, "arms without A, b and windowed"):
            TOOLS.run("choose", state, context=less)


    def test_rewards_go_on_when_the_features_change(self):
        less = {key: REQUEST[key] for key in ("kind", "words")}
        for settings in WINDOWS:
            with self.subTest(settings["kind"]):
                state = initial_state(window=settings)
                for number in range(4):
                    old = {"call": f"old{number}", "arm": "faq", "context": REQUEST}
                    _, state = TOOLS.tune("reward", state, value=1, **old)
                state["features"] = state["features"][:2]
                state["arms"]["faq"] = {
                    key: state["arms"]["faq"][key] for key in ("n", "sum", "squares")
                }
                _, state = TOOLS.tune("reward", state, value=0, call="old3")
                self.assertEqual(3_000_000, state["arms"]["faq"]["sum"])
                for number in range(30):
                    new = {"call": f"new{number}", "arm": "faq", "context": less}
                    _, state = TOOLS.tune("reward", state, value=1, **new)
                    TOOLS.run("choose", state, context=less)
                self.assertGreater(min(s["n"] for s in counting(state).values() if "b" in s), 0)

    def test_sums_that_were_edited_wrongly_are_named(self):
        for change, message in (
            (lambda sums: sums[:4], "A has 4 numbers where its b has"),
            (lambda sums: [-value for value in sums], "not positive definite"),
        ):
            state = learned(initial_state(), rewards(30))
            state["arms"]["faq"]["A"] = change(state["arms"]["faq"]["A"])
            with self.subTest(message), self.assertRaisesRegex(ValueError, message):
                TOOLS.run("choose", state, context=REQUEST)


def merged(base, ours, theirs):
    """What x-agent-merge makes of two states: sums added, other keys of objects joined."""
    if isinstance(ours, dict):
        base = base if isinstance(base, dict) else {}
        keys = [*ours, *(key for key in theirs if key not in ours)]
        kept = [key for key in keys if not (key in base and (key not in ours or key not in theirs))]
        return {key: merged(base.get(key), ours.get(key), theirs.get(key)) for key in kept}
    if ours is None or theirs is None or ours == theirs == base or isinstance(ours, str):
        return ours if theirs is None else theirs
    if isinstance(ours, list):
        return [merged(b, o, t) for b, o, t in itertools.zip_longest(base or [], ours, theirs)]
    return ours + theirs - (base or 0)


class Merging(unittest.TestCase):
    def test_the_learning_of_two_machines_adds(self):
        base = learned(initial_state(), rewards(10))
        ours, theirs = rewards(25, seed=1), rewards(15, seed=2)
        both = merged(base["arms"], learned(base, ours)["arms"], learned(base, theirs)["arms"])
        self.assertEqual(both, learned(base, ours + theirs)["arms"])
        self.assertEqual(both, learned(base, theirs + ours)["arms"])

    def test_discounted_sums_add(self):
        base = learned(initial_state(window={"kind": "discount", "gamma": 0.98}), rewards(10))
        ours, theirs = learned(base, rewards(25, seed=1)), learned(base, rewards(15, seed=2))
        both = merged(base["arms"], ours["arms"], theirs["arms"])
        # a reward counts as much as the steps say that its machine had made since
        settings, steps = base["policy"]["window"], base["steps"] + 40
        for name, arm in both.items():
            total = window.current(arm, settings, steps)["n"]
            parts = [
                window.current(side["arms"][name], settings, steps)["n"] for side in (ours, theirs)
            ]
            shared = window.current(base["arms"][name], settings, steps)["n"]
            self.assertAlmostEqual(sum(parts) - shared, total, places=5)


class Windows(unittest.TestCase):
    def test_a_sliding_window_is_the_last_rewards(self):
        given = rewards(50)
        state = learned(initial_state(window={"kind": "sliding", "size": 12}), given)
        alone = learned(initial_state(), given[-12:])
        self.assertEqual(counting(alone), counting(state))
        self.assertEqual(12, len(state["recent"]))
        unnamed = [(None, *rest) for _, *rest in given]
        again = learned(initial_state(window={"kind": "sliding", "size": 12}), unnamed)
        self.assertEqual(counting(alone), counting(again))

    def test_a_discount_is_a_geometric_weight(self):
        gamma, given = 0.9, rewards(300)
        state = learned(initial_state(window={"kind": "discount", "gamma": gamma}), given)
        for name, sums in counting(state).items():
            rows = [
                (gamma ** (len(given) - 1 - at), x, value)
                for at, (_, arm, x, value) in enumerate(given)
                if arm == name
            ]
            self.assertAlmostEqual(sum(weight for weight, _, _ in rows), sums["n"], delta=0.01)
            for at in range(len(sums["b"])):
                expected = sum(weight * x[at] * value / 1000 for weight, x, value in rows)
                self.assertAlmostEqual(expected, sums["b"][at] / 1e6, delta=0.01)

    def test_a_window_begins_empty_and_can_be_changed(self):
        state = learned(initial_state(), rewards(20))
        for settings in (
            WINDOWS[2],
            WINDOWS[1],
            {"kind": "sliding", "size": 3},
            WINDOWS[2],
            WINDOWS[0],
        ):
            state["policy"]["window"] = settings
            given = rewards(5, seed=state["steps"])
            state = learned(state, given)
            seen = sum(sums.get("n", 0) for sums in counting(state).values())
            expected = {"none": state["steps"], "sliding": min(5, settings.get("size", 0))}
            discounted = sum(settings.get("gamma", 0) ** age for age in range(5))
            self.assertAlmostEqual(expected.get(settings["kind"], discounted), seen, places=5)
        self.assertTrue(
            all("windowed" not in arm for arm in state["arms"].values() if arm["n"] == 0)
        )

    def test_windows_follow_a_drift(self):
        found = {}
        for settings in (
            WINDOWS[0],
            {"kind": "discount", "gamma": 0.98},
            {"kind": "sliding", "size": 60},
        ):
            state, chance = (
                plain_state("ab", algorithm="thompson-beta", window=settings),
                random.Random(3),
            )
            hits = []
            for step in range(600):
                result, _ = TOOLS.run("choose", state, f"c{step}", 1, str(step))
                good = "a" if step < 300 else "b"
                value = float(chance.random() < (0.8 if result["arm"] == good else 0.2))
                learning.learn(state, None, result["arm"], [1000], value)
                hits.append(result["arm"] == good)
            found[settings["kind"]] = statistics.fmean(hits[400:])
        self.assertLess(found["none"], 0.5)
        self.assertGreater(min(found["discount"], found["sliding"]), 0.8)


class Example(unittest.TestCase):
    def test_the_signals_help_on_held_out_requests(self):
        scorer = {}
        exec((TEMPLATE / "tests/scorers.py").read_text(), scorer)  # a program, not a package

        def score(state):
            cases = lines(TEMPLATE / "tests/full/heldout/requests.jsonl")
            results = [TOOLS.run("choose", state, **case["arguments"])[0] for case in cases]
            return statistics.fmean(
                scorer["nearness"](case, {"structuredContent": result})
                for case, result in zip(cases, results, strict=True)
            )

        state = initial_state()
        before = score(state)
        for signal in lines(TEMPLATE / "signals/feedback.jsonl"):
            _, state = TOOLS.tune("reward", state, **signal["arguments"])
        self.assertLess(before, 0.5)
        self.assertGreater(score(state), 0.9)


if __name__ == "__main__":
    unittest.main()
