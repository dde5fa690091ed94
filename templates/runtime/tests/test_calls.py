"""State, conversation, notes and logs in a tool's code, beyond what the fixtures cover."""

import json
import tempfile
import unittest
from pathlib import Path

from .harness import FIXTURES, PROGRAMS, STATELESS, Child, ScriptTest, ServerTest

STATE_PATH = next((FIXTURES / "states").glob("*.json"))
STATE = {"dev.agentvc/state": {"revision": STATE_PATH.stem, "path": str(STATE_PATH)}}
INITIALIZE = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}}


def conversation(**fields):
    return {**STATE, "dev.agentvc/conversation": fields}


class Places(unittest.TestCase):
    def test_an_error_names_the_last_line_of_the_servers_own_code(self):
        with Child(PROGRAMS / "runner.py", folder=PROGRAMS) as child:
            child.initialize()
            where = child.call("fail", {"message": "no"})["_meta"]["dev.agentvc/where"]
            file, _, line = where.rpartition(":")
            self.assertEqual(file, "runner.py")
            self.assertIn("raise LookupError(message)", (PROGRAMS / file).read_text().splitlines()[int(line) - 1])


class RunnerCalls(ServerTest):
    def test_a_revision_is_read_from_its_file_once(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "r.json")
            path.write_text('{"strategy":"first"}')
            meta = {"dev.agentvc/state": {"revision": "r1", "path": str(path)}}
            first = self.child.call(
                "ask", {"question": "q"}, {**meta, "dev.agentvc/conversation": {"id": "c", "turn": 1}}
            )
            path.unlink()
            again = self.child.call(
                "ask", {"question": "q"}, {**meta, "dev.agentvc/conversation": {"id": "c", "turn": 2}}
            )
            facts = [result["_meta"]["dev.agentvc/conversation"]["facts"]["strategy"] for result in (first, again)]
            self.assertEqual(facts, ["first", "first"])
            other = {"dev.agentvc/state": {"revision": "r2", "path": str(path)}}
            self.assert_failed(self.child.call("keys", {}, other), f"no state: {path}")

    def test_a_broken_state_file_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            for name, text, words in [
                ("a", "{", "is not JSON"),
                ("b", "[1]", "must be a JSON object"),
                ("c", '{"a":NaN}', "NaN is not JSON"),
            ]:
                path = Path(folder, name)
                path.write_text(text)
                result = self.child.call("keys", {}, {"dev.agentvc/state": {"revision": name, "path": str(path)}})
                self.assert_failed(result, words)
                self.assert_failed(result, str(path))

    def test_a_tool_that_tries_to_change_the_state_leaves_it_as_it_was(self):
        before = self.child.call("whole", {}, STATE)["structuredContent"]
        self.assert_failed(self.child.call("change_state", {}, STATE), "read-only")
        self.assertEqual(self.child.call("whole", {}, STATE)["structuredContent"], before)

    def test_a_missing_key_counts_as_read(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "s.json")
            path.write_text("{}")
            meta = {"dev.agentvc/state": {"revision": "e", "path": str(path)}}
            result = self.child.call("search", {"query": "q"}, meta)
            self.assert_failed(result, "KeyError: 'ranking'")
            self.assertEqual(result["_meta"]["dev.agentvc/reads"], ["ranking"])

    def test_keys_that_json_has_not_are_no_reads(self):
        result = self.child.call("look_up", {"text": "\ud800", "number": 3}, STATE)
        self.assertEqual(result["_meta"]["dev.agentvc/reads"], ["\\ud800"])

    def test_without_a_shim_conversations_live_in_memory(self):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "state").mkdir()
            Path(folder, "state", "active.state.json").write_text('{"strategy":"bm25"}')
            with self.start(folder=folder) as child:
                turns = [
                    child.call("ask", {"question": q, "conversation_id": c})
                    for q, c in [("a", "x"), ("b", "y"), ("c", "x")]
                ]
                self.assertEqual([turn["structuredContent"]["turn"] for turn in turns], [1, 1, 2])
                self.assertEqual(turns[2]["structuredContent"]["questions"], ["a", "c"])
                self.assertEqual(child.call("ask", {"question": "d"})["structuredContent"]["turn"], 0)

    def test_without_a_shim_the_state_is_read_again_when_it_changed(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "chosen.json")
            path.write_text('{"a":1}')
            with self.start(folder=folder, environment={"AGENT_STATE_FILE": str(path)}) as child:
                self.assertEqual(child.call("keys")["structuredContent"], {"result": ["a"]})
                path.write_text('{"another":1}')
                self.assertEqual(child.call("keys")["structuredContent"], {"result": ["another"]})
                path.unlink()
                self.assert_failed(child.call("keys"), f"no state: {path}")

    def test_async_calls_interleave_and_stay_apart(self):
        frames = []
        for number, seconds in enumerate([0.3, 0.2, 0.1, 0.0], start=1):
            meta = conversation(id=f"c{number}", turn=1)
            params = {"name": "nap", "arguments": {"seconds": seconds, "name": str(number)}, "_meta": meta}
            frames.append({"jsonrpc": "2.0", "id": f"n{number}", "method": "tools/call", "params": params})
        self.child.send(*frames)
        answers = [self.child.receive() for _ in frames]
        self.assertEqual([answer["id"] for answer in answers], ["n4", "n3", "n2", "n1"])
        for answer in answers:
            content = answer["result"]["structuredContent"]
            self.assertEqual((content["id"], content["same"]), (f"c{answer['id'][1]}", True))
        logged = {(record["name"], record["conversation"]) for record in self.child.logged()}
        self.assertEqual(logged, {("1", "c1"), ("2", "c2"), ("3", "c3"), ("4", "c4")})

    def test_log_lines_carry_their_call(self):
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        self.child.call("write_log", {}, {**conversation(id="c7", turn=1), "traceparent": trace})
        line, nan = self.child.logged()
        self.assertRegex(line.pop("time"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
        self.assertRegex(line.pop("thing"), "^<object object at")
        self.assertEqual(
            line,
            {
                "level": "info", "message": "a line", "tool": "write_log", "conversation": "c7",
                "trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331", "number": 1, "tool_": "mine",
            },
        )  # fmt: skip
        self.assertEqual((nan["level"], nan["value"]), ("warning", "nan"))

    def test_a_client_that_asks_for_log_lines_gets_them(self):
        self.child.call("write_log")
        self.child.request("logging/setLevel", {"level": "warning"})
        self.child.start_call("w", "write_log")
        note, answer = self.child.receive(), self.child.receive()
        self.assertEqual(
            (note["method"], note["params"]["level"], answer["id"]), ("notifications/message", "warning", "w")
        )
        meta = {**STATELESS, "io.modelcontextprotocol/logLevel": "info"}
        self.child.send(
            {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "write_log", "_meta": meta}}
        )
        frames = [self.child.receive() for _ in range(3)]
        self.assertEqual([frame["params"]["level"] for frame in frames[:2]], ["info", "warning"])
        self.assertEqual(frames[2]["id"], 1)

    def test_a_failure_is_told_shortly_and_logged_whole(self):
        self.assert_failed(self.child.call("fail", {"message": "no topic"}), "LookupError: no topic")
        self.assert_failed(self.child.call("leave", {"code": 3}), "SystemExit: 3")
        record = self.child.logged()[0]
        self.assertEqual(record["message"], "the tool failed: LookupError: no topic")
        self.assertIn("runner.py", record["traceback"])
        self.assertNotIn("server.py", record["traceback"])

    def test_results_without_a_json_form_are_errors(self):
        for tool, words in [
            ("infinite", "Out of range float values"),
            ("a_set", "a set is not JSON-serializable"),
            ("surrogate", "surrogates not allowed"),
            ("cycle", "contains itself"),
            ("wrong_type", "result[1]: expected integer, got string 'two'"),
        ]:
            with self.subTest(tool):
                self.assert_failed(self.child.call(tool), words)

    def test_state_outside_a_call_says_so(self):
        script = "import agent_runtime as a\na.Server('s')\ntry: a.state()\nexcept RuntimeError as error: print(error)"
        with Child("-c", script, environment={"AGENT_PARENT_PID": ""}) as child:
            self.assertIn(b"state() works only while a tool in its own context runs", child.line())


class AnotherSdk(unittest.TestCase):
    """A server of another SDK that imports the package for the state."""

    def run_script(self, script, **environment):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "state.json")
            path.write_text('{"greeting": "hi"}')
            with Child("-c", script, environment={"AGENT_STATE_FILE": str(path), **environment}) as child:
                child.send(b"from outside\n")
                return child.line()

    def test_the_import_leaves_the_streams_alone(self):
        self.assertEqual(self.run_script("import agent_runtime\nprint('heard', input())"), b"heard from outside")

    def test_the_state_the_scratch_folder_and_the_data_folder_are_there(self):
        script = "from agent_runtime import data, scratch, state\nprint(state()['greeting'], scratch(), data())"
        self.assertEqual(self.run_script(script, AGENT_SCRATCH="/s", AGENT_DATA="/d"), b"hi /s /d")

    def test_what_belongs_to_a_call_of_ours_says_so(self):
        script = "import agent_runtime\ntry: agent_runtime.note(a=1)\nexcept RuntimeError as error: print(error)"
        self.assertIn(b"note() works only while a tool of a Server of agent_runtime runs", self.run_script(script))

    def test_a_server_does_not_keep_the_state_it_was_started_with(self):
        script = "import agent_runtime as a\na.state()\ntry: a.Server('s')\nexcept RuntimeError as error: print(error)"
        self.assertIn(b"state() was called before the Server was made", self.run_script(script))


class TunerCalls(ServerTest):
    program = PROGRAMS / "tuner.py"

    def test_each_call_has_a_state_of_its_own(self):
        meta = {"dev.agentvc/state": {"revision": "r", "value": {"strategies": {}}}}
        for _ in range(2):
            result = self.child.call("reward", {"value": 1, "strategy": "a"}, meta)
            self.assertEqual(
                result["_meta"]["dev.agentvc/state"], {"value": {"strategies": {"a": {"n": 1, "sum": 1.0}}}}
            )

    def test_a_broken_state_file_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "s.json")
            path.write_text("{")
            meta = {"dev.agentvc/state": {"revision": "r", "path": str(path)}}
            self.assert_failed(self.child.call("look", {}, meta), f"the state {path} is not JSON")
            self.assert_failed(
                self.child.call("look", {}, {"dev.agentvc/state": {"revision": "r"}}), "neither a path nor a value"
            )

    def test_the_snapshot_may_come_as_a_file(self):
        result = self.child.call("reward", {"value": 1, "strategy": "new"}, STATE)
        self.assertIn("new", result["_meta"]["dev.agentvc/state"]["value"]["strategies"])
        self.assertNotIn("new", json.loads(STATE_PATH.read_text())["strategies"])


class Definitions(ScriptTest):
    def refused(self, body):
        path = self.script(f"from agent_runtime import *\nserver = Server('s')\n{body}\nserver.run()\n")
        with Child(path) as child:
            child.send(INITIALIZE)
            self.assertIsNone(child.line())
            self.assertEqual(child.process.wait(20), 1)
            return child.stderr()

    def test_two_tools_of_one_name_are_both_named(self):
        stderr = self.refused("@server.tool\ndef one() -> int: ...\n@server.tool(name='one')\ndef other() -> int: ...")
        self.assertRegex(stderr, r"two tools are called 'one': one \(.*program.py:3\) and other \(.*program.py:5\)")

    def test_an_unsupported_hint_is_named_at_start(self):
        stderr = self.refused("@server.tool\ndef one(when: bytes) -> int: ...")
        self.assertIn("tool 'one', parameter 'when': the annotation bytes is not supported", stderr)

    def test_hints_may_name_what_is_defined_below(self):
        path = self.script(
            "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom agent_runtime import *\n"
            "server = Server('s')\n@server.tool\ndef one(p: P | None = None) -> int: return p.x\n"
            "@dataclass\nclass P:\n    x: int\nserver.run()\n"
        )
        with Child(path) as child:
            child.initialize()
            self.assertEqual(child.call("one", {"p": {"x": 4}})["structuredContent"], {"result": 4})


if __name__ == "__main__":
    unittest.main()
