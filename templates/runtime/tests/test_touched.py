"""What a Tuner's tool touches of its state is seen, and its state behaves as plain dicts do."""

import copy
import dataclasses
import json
import pickle
import unittest

from agent_runtime.call import EFFECTS, REPLAY, STATE, TOUCHED
from agent_runtime.touched import TrackedState
from agent_runtime.wire import encode

from .harness import PROGRAMS, Child

STATE_BEFORE = {"n": 1, "tasks": {"a": {"x": 1}, "b": {"x": 2}}, "none": {}, "list": [1, {"y": 2}]}


def _increment(state):
    state["tasks"]["a"]["x"] += 1


def _alias(state):
    state["alias"] = [state["tasks"]]
    _increment(state)


def _empty(state):
    del state["tasks"]["a"]
    state["tasks"].pop("b")


def _number_as_key(state):
    state["tasks"][5] = 1


def _update(state):
    state["tasks"].update(c={"x": 3})
    state |= {"n": 2}


def _copied(state):
    """A copy shares its members with the state."""
    state.copy()["tasks"]["a"] = {"x": 9}


def _match(state):
    match state:
        case {"tasks": {"a": {"x": number}}}:
            return number


_TOOLS = [
    # what is done, what it touches, and the paths that it changes
    (_increment, ["/tasks/a"], [("tasks", "a")]),
    (lambda state: state["tasks"].setdefault("c", {"x": 0}), ["/tasks/c"], [("tasks", "c")]),
    (lambda state: state["tasks"].get("zzz"), ["/tasks/zzz"], []),
    (lambda state: "a" in state["tasks"], ["/tasks/a"], []),
    (lambda state: "zzz" in state, ["/zzz"], []),
    (lambda state: "tasks" in state, ["/tasks"], []),
    (lambda state: state["tasks"], ["/tasks"], []),
    (lambda state: state["none"], ["/none"], []),
    (lambda state: state["list"][1]["y"], ["/list"], []),
    (lambda state: len(state["tasks"]), ["/tasks"], []),
    (lambda state: bool(state["tasks"]), ["/tasks"], []),
    (lambda state: sorted(state["tasks"].items(), key=str), ["/tasks"], []),
    (lambda state: {**state["tasks"]}, ["/tasks"], []),
    (lambda state: {} | state["tasks"], ["/tasks"], []),
    (lambda state: state["tasks"] | {}, ["/tasks"], []),
    (lambda state: set(state["tasks"]), ["/tasks"], []),
    (lambda state: {"a": {"x": 1}} == state["tasks"], ["/tasks"], []),
    (lambda state: json.dumps(state["tasks"]), ["/tasks"], []),
    (lambda state: copy.deepcopy(state), [""], []),
    (lambda state: dict(state), [""], []),
    (lambda state: repr(state), [""], []),
    (lambda state: pickle.loads(pickle.dumps(state)), [""], []),
    (lambda state: (_increment(state), dict(state)), [""], [()]),
    (_alias, ["/alias", "/tasks"], [("alias",), ("tasks",)]),
    (_empty, ["/tasks"], [("tasks",)]),
    (_number_as_key, ["/tasks"], [("tasks",)]),
    (_update, ["/n", "/tasks/c"], [("n",), ("tasks", "c")]),
    # a pattern of keys compares their number first
    (_match, [""], []),
    (lambda state: state["tasks"].get("a~/b"), ["/tasks/a~0~1b"], []),
]


def _plain(value):
    return json.loads(json.dumps(value))


class Touched(unittest.TestCase):
    def test_what_tools_touch_and_change(self):
        for number, (tool, touched, changed) in enumerate(_TOOLS):
            with self.subTest(number):
                plain, tracked = _plain(STATE_BEFORE), TrackedState(_plain(STATE_BEFORE))
                expected, result = tool(plain), tool(tracked.value)
                changes, found, (after, text) = tracked.outcome()
                self.assertEqual(sorted(path for path, _ in changes), changed)
                self.assertEqual(found, touched)
                self.assertEqual(json.dumps(tracked.plain()), json.dumps(plain))
                if expected is not None and not isinstance(expected, set):
                    self.assertEqual(json.dumps(expected), json.dumps(result))
                # the next call finds the same, as if it had been sent
                self.assertEqual(json.dumps(after), json.dumps(_plain(plain), sort_keys=True))
                self.assertEqual(text, encode(after))

    def test_a_write_around_the_methods_counts_as_one_of_all(self):
        class View:
            pass

        def by_attribute(state):
            view = View()
            view.__dict__ = state["tasks"]
            view.a = {"x": 9}

        for write in (by_attribute, lambda state: dict.update(state, n=5), _copied):
            state = _plain(STATE_BEFORE)
            write(state)
            tracked = TrackedState(_plain(STATE_BEFORE))
            write(tracked.value)
            changes, touched, (after, _) = tracked.outcome()
            self.assertEqual((touched, after), ([""], state))
            self.assertEqual(len(changes), 1)

    def test_an_empty_state_is_touched(self):
        tracked = TrackedState({})
        json.dumps(tracked.value)
        tracked.value["copy"] = 1
        self.assertEqual(tracked.outcome()[:2], ([(("copy",), "1")], [""]))

    def test_an_update_that_fails_keeps_what_it_had_done(self):
        def pairs():
            yield "a", 1
            raise KeyError

        state = TrackedState(_plain(STATE_BEFORE)).value
        with self.assertRaises(KeyError):
            state.update(pairs())
        self.assertEqual(state["a"], 1)

    def test_a_state_is_a_dict(self):
        state = TrackedState(_plain(STATE_BEFORE)).value
        self.assertIsInstance(state["tasks"], dict)
        self.assertIs(type(state["tasks"]["a"]), dict)
        self.assertIs(type(state.copy()), dict)
        self.assertIs(type(copy.copy(state["tasks"])), dict)
        self.assertIs(type(pickle.loads(pickle.dumps(state))["tasks"]), dict)
        self.assertIs(state["tasks"], state["tasks"])
        with self.assertRaises(KeyError):
            state["zzz"]
        with self.assertRaises(TypeError):
            hash(state)

        @dataclasses.dataclass
        class Holder:
            tasks: dict

        self.assertEqual(dataclasses.asdict(Holder(state["tasks"]))["tasks"], STATE_BEFORE["tasks"])


class Replay(unittest.TestCase):
    def setUp(self):
        self.child = self.enterContext(Child(PROGRAMS / "tuner.py", folder=PROGRAMS))
        self.child.initialize()

    def _replay(self, *calls):
        calls = [{"name": name, "arguments": arguments, "_meta": {EFFECTS: {}}} for name, arguments in calls]
        state = {"count": 1, "strategies": {"bm25": {"n": 1, "sum": 0.5}}}
        return self.child.request(REPLAY, {"calls": calls, "_meta": {STATE: {"value": state}}})

    def test_calls_follow_each_other_on_one_state(self):
        reward = ("reward", {"value": 1.0, "strategy": "bm25"})
        other = ("reward", {"value": 1.0, "strategy": "a"})
        answer = self._replay(reward, reward, other, ("look", {}), ("to_float", {}))
        results = answer["result"]["results"]
        changes = [result["_meta"].get(STATE, {}).get("change") for result in results]
        path = "/strategies/bm25"
        self.assertEqual(
            changes,
            [
                [{"op": "add", "path": path, "value": {"n": 2, "sum": 1.5}}],
                [{"op": "add", "path": path, "value": {"n": 3, "sum": 2.5}}],
                [{"op": "add", "path": "/strategies/a", "value": {"n": 1, "sum": 1.0}}],
                None,
                [{"op": "add", "path": "/count", "value": 1.0}],
            ],
        )
        touched = [result["_meta"][TOUCHED] for result in results]
        self.assertEqual(touched, [[path], [path], ["/strategies/a"], ["/strategies"], ["/count"]])

    def test_it_ends_before_a_call_that_is_made_alone(self):
        reward = ("reward", {"value": 1.0, "strategy": "bm25"})
        for alone in [("fail_halfway", {}), ("draw", {}), ("reward", {"value": "x"}), ("zzz", {})]:
            with self.subTest(alone[0]):
                answer = self._replay(reward, alone, reward)
                self.assertEqual(len(answer["result"]["results"]), 1)


class Isolation(unittest.TestCase):
    def setUp(self):
        self.child = self.enterContext(Child(PROGRAMS / "any_tuner.py", folder=PROGRAMS))
        self.child.initialize()

    def test_a_call_leaves_nothing_of_its_own_to_the_next(self):
        state = {"cur": {"n": 0}, "prev": {"n": 0}, "log": [], "t": {"a": 1, "b": 2}}
        codes = [
            "state()['prev'] = state()['cur']",
            "state()['cur']['n'] += 1",
            "state()['log'].append(state()['cur']['n'] - state()['prev']['n'])",
            "t = state()['t']; t['a'] = t.pop('a')",
            "state()['log'].append(next(iter(state()['t'])))",
            "v = state().pop('cur'); state()['cur'] = v",
            "state()['log'].append(next(iter(state())))",
            "globals()['KEPT'] = state()['t']",
            "KEPT['a'] = 9",
            "state()['log'].append(state()['t']['a'])",
        ]
        calls = [{"name": "execute", "arguments": {"code": code}, "_meta": {}} for code in codes]
        together = self.child.request(REPLAY, {"calls": calls, "_meta": {STATE: {"value": state}}})
        for call in calls:
            meta = {STATE: {"value": state}}
            params = {"name": "execute", "arguments": call["arguments"], "_meta": meta}
            result = self.child.request("tools/call", params)["result"]
            state = json.loads(json.dumps(result["_meta"].get(STATE, {}).get("value", state), sort_keys=True))
        logs = []
        for result in together["result"]["results"]:
            changed = result["_meta"].get(STATE, {}).get("change", [])
            logs += [one["value"] for one in changed if one["path"] == "/log"]
        self.assertEqual(len(together["result"]["results"]), len(calls))
        self.assertEqual(logs[-1], state["log"])
        self.assertEqual(state["log"], [1, "a", "cur", 1])


if __name__ == "__main__":
    unittest.main()
