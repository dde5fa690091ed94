"""The template `preferences`: the model's fit, its intervals, the choice of pairs, the counting."""

import copy
import math
import random
import unittest

import repositories

TEMPLATE = repositories.ROOT / "templates/preferences"
clusters, davidson, linear, pairing, standings, judgements = repositories.modules(
    TEMPLATE,
    "runner.clusters",
    "runner.davidson",
    "runner.linear",
    "runner.pairing",
    "runner.standings",
    "tuner.judgements",
)
Outcome, Pair, Prior = judgements.Outcome, davidson.Pair, davidson.Prior


def given(state, rows):
    """The state after (winner, loser, tie, conversation) of each row."""
    for winner, loser, tie, conversation in rows:
        judgements.judge(state, Outcome(winner, loser, tie), conversation, "")
    return state


def over(state):
    return standings.Standings(tuple(state[name] for name in standings.MEMBERS))


def learned():
    state = repositories.state(TEMPLATE)
    for signal in repositories.lines(TEMPLATE / "signals/feedback.jsonl"):
        arguments = signal["arguments"]
        outcome = Outcome(arguments["winner"], arguments["loser"], arguments.get("tie", False))
        judgements.judge(state, outcome, arguments["judge"], arguments["judgement_id"])
    return state


class Linear(unittest.TestCase):
    def test_a_system_is_solved(self):
        factor = linear.cholesky([[4.0, 2.0], [2.0, 3.0]])
        self.assertEqual([2.0], factor[0])
        for one, other in zip([1.0, 2.0], linear.solve(factor, [8.0, 8.0]), strict=True):
            self.assertAlmostEqual(one, other)
        self.assertAlmostEqual(3 / 8, linear.inverse(factor)[0][0])

    def test_an_indefinite_matrix_is_refused(self):
        with self.assertRaisesRegex(ArithmeticError, "not positive definite"):
            linear.cholesky([[1.0, 2.0], [2.0, 1.0]])


class Fit(unittest.TestCase):
    PAIRS = (Pair(0, 1, 7, 3, 4), Pair(0, 2, 2, 5, 1), Pair(1, 2, 4, 4, 6))

    def posterior(self, prior):
        return lambda parameters: davidson.log_posterior(3, self.PAIRS, prior, parameters)

    def test_derivatives_are_those_of_the_posterior(self):
        at, small = [0.3, -0.4, 0.2, -0.6], 1e-5
        for kind in ("gaussian", "gamma"):
            prior = Prior(kind, 0.7, 0.2)
            value = self.posterior(prior)
            gradient, information = davidson.derivatives(3, self.PAIRS, prior, at)
            for row in range(4):
                up, down = at[:], at[:]
                up[row] += small
                down[row] -= small
                self.assertAlmostEqual((value(up) - value(down)) / (2 * small), gradient[row], 6)
                above, _ = davidson.derivatives(3, self.PAIRS, prior, up)
                below, _ = davidson.derivatives(3, self.PAIRS, prior, down)
                for column in range(4):
                    second = (above[column] - below[column]) / (2 * small)
                    self.assertAlmostEqual(-second, information[row][column], 6)

    def test_two_items_have_the_known_estimate(self):
        # without a prior the odds are the ratio of the wins, and nu of the ties to their mean
        found = davidson.fit(2, [Pair(0, 1, 40, 10, 30)], Prior("gaussian", 1e-9, 1e-9))
        self.assertAlmostEqual(math.log(4), found.strengths[0] - found.strengths[1], 6)
        self.assertAlmostEqual(30 / math.sqrt(400), found.nu, 6)
        self.assertEqual(0.0, davidson.fit(2, [Pair(0, 1, 4, 1, 0)], Prior("gamma", 1, 1)).nu)

    def test_outcomes_are_probabilities(self):
        chance = davidson.outcomes(1.3, 0.8)
        self.assertAlmostEqual(1.0, sum(chance))
        self.assertAlmostEqual(math.exp(1.3), chance.win / chance.loss)
        values = (1, 0, 0.5)
        mean = sum(value * share for value, share in zip(values, chance, strict=True))
        square = sum(value**2 * share for value, share in zip(values, chance, strict=True))
        self.assertAlmostEqual(square - mean**2, chance.information)

    def test_an_item_that_always_wins_has_a_finite_strength(self):
        for kind in ("gaussian", "gamma"):
            for strength in (0.0001, 1.0, 1000.0):
                pairs = [Pair(0, 1, 500, 0, 0), Pair(1, 2, 500, 0, 1)]
                found = davidson.fit(3, pairs, Prior(kind, strength, 0.0001)).strengths
                self.assertTrue(all(map(math.isfinite, found)))
                self.assertEqual(sorted(found, reverse=True), found)

    def test_order_and_names_of_items_are_of_no_account(self):
        prior, place = Prior("gaussian", 0.5, 0.1), (1, 2, 0)
        turned = [
            Pair(place[b], place[a], losses, wins, ties)
            for a, b, wins, losses, ties in reversed(self.PAIRS)
        ]
        one, other = davidson.fit(3, list(self.PAIRS), prior), davidson.fit(3, turned, prior)
        for number, name in enumerate(place):
            self.assertAlmostEqual(one.strengths[number], other.strengths[name], 9)
        self.assertAlmostEqual(one.variance(0, 1), other.variance(1, 2), 9)


class Clusters(unittest.TestCase):
    def effect(self, conversations, seed=1):
        """Judges with strong tastes, or (no conversation) judgements on their own."""
        generator, state = random.Random(seed), repositories.state(TEMPLATE)
        names = sorted(state["items"])
        for judge in range(20):
            taste = generator.sample(names, len(names))
            for _ in range(10):
                a, b = generator.sample(names, 2)
                better = a if taste.index(a) < taste.index(b) else b
                worse = b if better == a else a
                name = f"c{judge}" if conversations else ""
                judgements.judge(state, Outcome(better, worse, False), name, "")
        return over(state)

    def test_judges_with_tastes_widen_the_intervals(self):
        self.assertGreater(self.effect(True).design_effect, 1.8)
        self.assertEqual(1.0, self.effect(False).design_effect)
        name = "chain"
        narrow, wide = (self.effect(way).strength(name) for way in (False, True))
        self.assertAlmostEqual(narrow.value, wide.value)
        self.assertGreater(wide.high - wide.low, 1.3 * (narrow.high - narrow.low))

    def test_one_conversation_counts_as_one_judgement(self):
        state = given(repositories.state(TEMPLATE), [("chain", "short", False, "c1")] * 7)
        self.assertEqual(7.0, over(state).design_effect)


class Pairing(unittest.TestCase):
    def test_the_pair_with_the_widest_open_outcome_is_next(self):
        rows = [("chain", "short", False, "")] * 30 + [("chain", "plain", False, "")] * 30
        state = given(repositories.state(TEMPLATE), rows)
        found = over(state)
        gains = {
            (a, b): pairing.gain(found.fit, found.numbers[a], found.numbers[b])
            for a in found.names
            for b in found.names
            if a < b
        }
        chosen = tuple(sorted(pairing.next_pair(found.fit, found.numbers, "c1", ())))
        self.assertEqual(max(gains.values()), gains[chosen])
        self.assertLess(gains["chain", "short"], gains["plain", "short"])

    def test_pairs_that_were_asked_come_last(self):
        found, seen = over(repositories.state(TEMPLATE)), set()
        for _ in range(15):
            pair = tuple(sorted(pairing.next_pair(found.fit, found.numbers, "c1", seen)))
            self.assertNotIn(pair, seen)
            seen.add(pair)
        self.assertEqual(15, len(seen))
        pairing.next_pair(found.fit, found.numbers, "c1", seen)

    def test_no_position_is_favoured(self):
        found = over(repositories.state(TEMPLATE))
        drawn = [pairing.next_pair(found.fit, found.numbers, f"c{n}", ()) for n in range(200)]
        self.assertTrue(70 < sum(a < b for a, b in drawn) < 130)
        self.assertEqual(15, len({tuple(sorted(pair)) for pair in drawn}))


class Counting(unittest.TestCase):
    def test_the_signals_rank_the_prompts(self):
        found = over(learned())
        self.assertEqual("chain", found.ranking()[0].item)
        self.assertEqual(["plain", "short"], [one.item for one in found.ranking()[-2:]])
        self.assertGreater(found.better("chain", "short"), 0.999)
        self.assertEqual(180, found.judgements())
        total = {"wins": 0, "losses": 0, "ties": 0}
        for name in found.names:
            total = {key: total[key] + count for key, count in found.tally(name).items()}
        self.assertEqual((total["wins"], 360), (total["losses"], sum(total.values())))

    def test_a_correction_is_as_if_the_first_had_not_been(self):
        rows = [("chain", "short", False), ("plain", "quote", True)]
        states = []
        for first in (rows[0], rows[1], ("short", "chain", False)):
            state = repositories.state(TEMPLATE)
            judgements.judge(state, Outcome(*first), "c1", "j1")
            judgements.judge(state, Outcome(*rows[0]), "c1", "j1")
            for first, second in (("chain", "short"), ("plain", "quote")):
                none = {"wins": 0, "losses": 0, "ties": 0}
                state["pairs"].setdefault(first, {}).setdefault(second, none)
            states.append(state)
        self.assertEqual(states[0], states[1])
        self.assertEqual(states[0], states[2])

    def test_a_judgement_taken_back_leaves_no_count(self):
        state = repositories.state(TEMPLATE)
        name = judgements.judge(state, Outcome("chain", "short", False), "c1", "")
        judgements.withdraw(state, name)
        self.assertEqual({"wins": 0, "losses": 0, "ties": 0}, state["pairs"]["chain"]["short"])
        with self.assertRaisesRegex(ValueError, "not remembered"):
            judgements.withdraw(state, name)
        # its id is not given again
        again = judgements.judge(state, Outcome("chain", "short", False), "c1", "")
        self.assertNotEqual(name, again)

    def test_the_memory_is_bounded_and_the_counts_stay(self):
        state = repositories.state(TEMPLATE)
        state["model"]["memory"] = 5
        given(state, [("chain", "short", False, "c1")] * 20)
        remembered = sorted(one["at"] for one in state["recent"].values())
        self.assertEqual([16, 17, 18, 19, 20], remembered)
        self.assertEqual(20, state["pairs"]["chain"]["short"]["wins"])

    def test_equal_counts_give_equal_strengths_in_any_order(self):
        rows = [("chain", "short", False, ""), ("quote", "plain", True, "")] * 3
        rows += [("short", "quote", False, "")] * 3
        one = over(given(repositories.state(TEMPLATE), rows))
        other = over(given(repositories.state(TEMPLATE), rows[::-1]))
        self.assertEqual(one.fit, other.fit)

    def test_wrong_judgements_change_nothing(self):
        table = [
            ("chain", "sonnet", "there is no item 'sonnet'"),
            ("chain", "chain", "name two items"),
        ]
        state = repositories.state(TEMPLATE)
        before = copy.deepcopy(state)
        for winner, loser, message in table:
            with self.assertRaisesRegex(ValueError, message):
                judgements.judge(state, Outcome(winner, loser, False), "c1", "")
        self.assertEqual(before, state)

    def test_items_come_and_go(self):
        state = given(repositories.state(TEMPLATE), [("chain", "short", False, "c1")])
        judgements.add(state, "poem", "Summarise the text as a poem.")
        judgements.retire(state, "chain")
        self.assertIn("poem", over(state).ranked)
        self.assertNotIn("chain", [one.item for one in over(state).ranking()])
        judgements.add(state, "chain", "")
        self.assertTrue(state["items"]["chain"]["text"].startswith("List the claims"))
        self.assertEqual(over(state).names, over(state).ranked)
        for name, text in ((" ", ""), ("x" * 101, ""), ("x", "y" * 4001)):
            with self.assertRaises(ValueError):
                judgements.add(state, name, text)


if __name__ == "__main__":
    unittest.main()
