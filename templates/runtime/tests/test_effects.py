"""Effects: a request without a result ends the call, and the tool is called again with results."""

import unittest

from .harness import PROGRAMS, Child

EFFECTS = "dev.agentvc/effects"
STATE = "dev.agentvc/state"


def offered(*results, **values):
    return {STATE: {"revision": "r", "value": {"x": 1.0}}, EFFECTS: {**values, "results": list(results)}}


class Effects(unittest.TestCase):
    def setUp(self):
        self.child = self.enterContext(Child(PROGRAMS / "effects_tuner.py", folder=PROGRAMS))
        self.child.initialize()

    def call(self, tool, arguments, meta):
        result = self.child.call(tool, arguments, meta)
        self.assertFalse(result["isError"], result)
        return result

    def requests(self, tool, arguments, meta):
        result = self.call(tool, arguments, meta)
        self.assertNotIn("structuredContent", result)
        self.assertNotIn(STATE, result["_meta"])
        return result["_meta"][EFFECTS]["requests"]

    def test_chance_is_a_function_of_the_seed(self):
        meta = offered(random="00000000000000000000000000000001")
        first, again = (self.call("draw", {"count": 3}, meta) for _ in range(2))
        numbers = first["structuredContent"]["result"]
        self.assertEqual(first, again)
        self.assertEqual(len(set(numbers)), 3)
        self.assertTrue(all(0 <= number < 1 for number in numbers))
        self.assertEqual(first["_meta"][EFFECTS], {"used": ["random"]})
        other = self.call("draw", {"count": 3}, offered(random="00000000000000000000000000000002"))
        self.assertNotEqual(other["structuredContent"], first["structuredContent"])

    def test_the_stream_is_splitmix64(self):
        # the first outputs for the seed 1234567, from the reference implementation (Vigna 2015)
        reference = [6457827717110365317, 3203168211198807973, 9817491932198370423]
        meta = offered(random=f"{1234567:032x}")
        drawn = self.call("draw", {"count": 3}, meta)["structuredContent"]["result"]
        self.assertEqual(drawn, [(number >> 11) / (1 << 53) for number in reference])

    def test_seed_is_the_same_throughout_a_call(self):
        result = self.call("seeds", {}, offered(random="0f" * 16))
        self.assertIs(result["structuredContent"]["result"], True)

    def test_time_is_the_one_that_was_offered(self):
        result = self.call("stamp", {}, offered(now="2026-01-01T00:00:00Z"))
        self.assertEqual(result["structuredContent"]["result"], "2026-01-01T00:00:00Z")
        self.assertEqual(result["_meta"][EFFECTS], {"used": ["now"]})

    def test_what_is_not_offered_is_requested_by_name(self):
        self.assertEqual(self.requests("draw", {"count": 1}, offered()), [{"kind": "random"}])
        self.assertEqual(self.requests("stamp", {}, offered()), [{"kind": "now"}])

    def test_results_are_consumed_in_order(self):
        climb = {"step": 0.5}
        first = self.requests("climb", climb, offered())
        self.assertEqual(first, [{"kind": "evaluate", "state": {"x": 1.5}, "tier": "fast"}])
        second = self.requests("climb", climb, offered({"score": 0.2}))
        self.assertEqual(second, [{"kind": "evaluate", "state": {"x": 1.0, "score": 0.2}, "tier": "fast"}])
        done = self.call("climb", climb, offered({"score": 0.2}, {"score": 0.1}))
        self.assertEqual(done["structuredContent"]["result"], 1.5)
        self.assertEqual(done["_meta"][STATE]["value"], {"x": 1.5, "score": 0.2})

    def test_requests_at_the_same_time(self):
        urls = ["http://a/", "http://b/"]
        requests = self.requests("ask", {"urls": urls}, offered())
        self.assertEqual(requests, [{"kind": "http", "url": url} for url in urls])
        answers = [{"status": 200, "type": None, "body": text} for text in "ab"]
        done = self.call("ask", {"urls": urls}, offered(*answers))
        self.assertEqual(done["structuredContent"]["result"], ["a", "b"])

    def test_async_tool_and_handlers_of_exceptions(self):
        for tool in ("later", "swallow"):
            self.assertEqual(len(self.requests(tool, {"url": "http://a/"}, offered())), 1)

    def test_without_agent_an_effect_is_an_error_and_chance_is_the_systems(self):
        meta = {STATE: {"revision": "r", "value": {"x": 1.0}}}
        result = self.child.call("later", {"url": "http://a/"}, meta)
        self.assertTrue(result["isError"])
        self.assertIn("carried out by `agent`", result["content"][0]["text"])
        self.assertEqual(len(self.call("draw", {"count": 2}, meta)["structuredContent"]["result"]), 2)


if __name__ == "__main__":
    unittest.main()
