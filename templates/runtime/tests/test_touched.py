"""What a Tuner's tool touches of its state is seen, and its state behaves as plain dicts do."""

import copy
import dataclasses
import json
import pickle
import unittest

from agent_runtime.call import EFFECTS, REPLAY, STATE, TOUCHED
from agent_runtime.touched import TrackedState

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
                changes = tracked.changes()
                self.assertEqual(sorted(path for path, _ in changes), changed)
                self.assertEqual(tracked.touched(), touched)
                self.assertEqual(json.dumps(tracked.plain()), json.dumps(plain))
                if expected is not None and not isinstance(expected, set):
                    self.assertEqual(json.dumps(expected), json.dumps(result))
                # the next call finds the same, as if it had been sent
                tracked.settle(changes)
                self.assertEqual(tracked.touched(), [])
                canonical = json.dumps(json.loads(json.dumps(plain)), sort_keys=True)
                self.assertEqual(json.dumps(tracked.plain(), sort_keys=True), canonical)

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


if __name__ == "__main__":
    unittest.main()
