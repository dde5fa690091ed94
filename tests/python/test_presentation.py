"""The template `presentation`: keywords from picks, shares of variants."""

import unittest

import repositories
from in_process import Tools

TEMPLATE = repositories.ROOT / "templates/presentation"
words, variants = repositories.modules(TEMPLATE, "tuner.words", "tuner.variants")
TOOLS = Tools(TEMPLATE)


def picked(state, request, **tools):
    return TOOLS.tune("picked", state, request=request, **tools)[1]


def keywords(state, tool):
    return state["overlay"]["tools"].get(tool, {}).get("keywords", [])


class Keywords(unittest.TestCase):
    def test_words_that_tell_tools_apart_are_kept(self):
        state = {"schema_version": 1}
        for request, tool in [
            ("Please convert five miles", "convert"),
            ("Converting miles, please", "convert"),
            ("Please tell me the time in Paris", "at"),
        ]:
            state = picked(state, request, right_tool=tool)
        self.assertEqual(keywords(state, "convert"), ["convert", "miles", "five"])
        self.assertEqual(keywords(state, "at"), ["paris", "time"])

    def test_a_word_that_belongs_to_another_tool_is_given_up(self):
        state = picked({}, "the report", right_tool="read")
        self.assertEqual(keywords(state, "read"), ["report"])
        for request in ("print the report", "send the report", "report again"):
            state = picked(state, request, right_tool="send", wrong_tool="read")
        self.assertIn("report", keywords(state, "send"))
        state = picked(state, "a story", right_tool="read")
        self.assertEqual(keywords(state, "read"), ["story"])

    def test_requests_for_tools_of_other_servers_count_against_a_word(self):
        state = picked({}, "weather today", right_tool="fetch")
        for request in ("weather", "weather map", "weather radar", "weather again"):
            state = picked(state, request, wrong_tool="fetch")
        self.assertEqual(keywords(state, "fetch"), ["today"])

    def test_keywords_are_few_and_the_owners_members_stay(self):
        state = {"overlay": {"tools": {"t": {"title": "T"}}}}
        letters = "abcdefghijklmnopqrstuvwxyz"
        for letter in letters:
            state = picked(state, f"{letter * 9} {letter * 8}", right_tool="t")
        found = keywords(state, "t")
        self.assertLessEqual(len(", ".join(found)), words.MOST_CHARACTERS)
        self.assertEqual(state["overlay"]["tools"]["t"]["title"], "T")

    def test_keywords_that_a_person_wrote_stay(self):
        state = {"overlay": {"tools": {"at": {"keywords": ["time zone", "Time", "clock"]}}}}
        for request in ("the time in Paris", "the time in Rome"):
            state = picked(state, request, right_tool="at")
        # a word of the requests is the learner's, also where a person wrote it first
        self.assertEqual(keywords(state, "at"), ["time zone", "clock", "time", "paris", "rome"])

    def test_the_order_of_requests_does_not_count(self):
        requests = [("red fish", "a"), ("red bird", "b"), ("blue bird", "b"), ("one fish", "a")]
        states = []
        for order in (requests, requests[::-1]):
            state = {}
            for request, tool in order:
                state = picked(state, request, right_tool=tool)
            # the last signal may have left the keywords of the other tool as they were
            learned = state["overlay"]["learned"]
            states.append([learned["requests"], {t: words.keywords(learned, t) for t in "ab"}])
        self.assertEqual(states[0], states[1])

    def test_a_signal_names_a_tool(self):
        for tools in ({}, {"right_tool": "t", "wrong_tool": "t"}):
            with self.assertRaises(ValueError):
                picked({}, "a request", **tools)


class Variants(unittest.TestCase):
    def setUp(self):
        tools = {"t": {"description": "Short."}}
        self.state = TOOLS.tune("add", {}, name="short", tools=tools)[1]

    def shares(self):
        shares = self.state["overlay"]["shares"]
        return {variants.PLAIN: round(1 - sum(shares.values()), 3), **shares}

    def tune(self, tool, **arguments):
        result, self.state = TOOLS.tune(tool, self.state, **arguments)
        return result

    def test_new_variants_get_equal_shares(self):
        self.assertEqual(self.shares(), {"plain": 0.5, "short": 0.5})
        self.tune("add", name="long", tools={})
        self.assertEqual(sorted(self.shares().values()), [0.333, 0.333, 0.334])

    def test_what_is_rewarded_gets_more_and_nothing_gets_none(self):
        for number in range(400):
            self.tune("reward", variant="short", value=1.0 if number % 10 else 0.0)
            self.tune("reward", variant="plain", value=0.5)
        shares = self.shares()
        self.assertGreater(shares["short"], 0.9)
        self.assertGreater(shares["plain"], 0)
        self.assertEqual(sum(shares.values()), 1)
        with self.assertRaises(ValueError):
            self.tune("reward", variant="short", value=2)

    def test_what_is_preferred_gets_more(self):
        self.tune("add", name="long", tools={})
        for _ in range(30):
            self.tune("preferred", winner="long", loser="short")
            self.tune("preferred", winner="short", loser="plain")
        shares = self.shares()
        self.assertGreater(shares["long"], shares["short"])
        self.assertGreater(shares["short"], shares["plain"])

    def test_a_reward_finds_the_variant_of_its_conversation(self):
        for facts in ({"arm": "short"}, {"n": 1, "overlay": {"arm": "short"}}):
            turns = [{"facts": facts}]
            _, state = TOOLS.tune("reward", self.state, conversation="c", turns=turns, value=1.0)
            self.assertEqual(state["overlay"]["learned"]["rewards"], {"short": {"n": 1, "sum": 1000}})
        with self.assertRaises(ValueError):
            TOOLS.tune("reward", self.state, conversation="c", turns=[{"facts": {}}], value=1.0)

    def test_a_retired_variant_is_forgotten(self):
        self.tune("reward", variant="short", value=1)
        self.tune("preferred", winner="plain", loser="short")
        self.tune("retire", name="short")
        overlay = self.state["overlay"]
        self.assertEqual((overlay["variants"], overlay["shares"]), ({}, {}))
        self.assertNotIn("short", str(overlay["learned"]))

    def test_a_settled_variant_lies_over_what_all_are_shown(self):
        parameters = {"n": {"default": 5}}
        self.tune("add", name="best", tools={"t": {"parameters": {"n": {"maximum": 9}}}})
        self.state["overlay"]["tools"] = {"t": {"title": "T", "parameters": parameters}}
        self.tune("settle", name="best")
        overlay = self.state["overlay"]
        merged = {"title": "T", "parameters": {"n": {"default": 5, "maximum": 9}}}
        self.assertEqual(overlay["tools"], {"t": merged})
        self.assertEqual((overlay["variants"], overlay["shares"]), ({}, {}))


if __name__ == "__main__":
    unittest.main()
