"""Separation of the protocol stream from user output; malformed input."""

import json
import os
import random
import subprocess
import sys
import tempfile
import unittest

from agent_runtime.wire import Broken, Frames

from .harness import FIXTURES, PROGRAMS, RUNTIME, Child, ScriptTest, ServerTest

PING = b'{"jsonrpc":"2.0","id":"after","method":"ping"}\n'


class Streams(ServerTest):
    def test_only_frames_reach_the_protocol_stream(self):
        result = self.child.call("noise")
        self.assertEqual(result["structuredContent"], {"result": "read '' and b''"})
        self.assertEqual(self.child.end(), 0)
        self.assertIsNone(self.child.line())
        lines = self.child.stderr().splitlines()
        for line in ("printed before run()", "a print", "a write", "raw bytes", "a grandchild"):
            self.assertIn(line, lines)

    def refused_then_alive(self, data, code, words):
        self.child.send(data, PING)
        self.assert_refused(self.child.receive(), code, words)
        self.assertEqual(self.child.receive(), {"jsonrpc": "2.0", "id": "after", "result": {}})

    def test_invalid_utf8_costs_its_own_line_only(self):
        self.refused_then_alive(b'{"jsonrpc":"2.0","id":1,"method":"\xff"}\n', -32700, "invalid UTF-8 at byte 34")

    def test_deep_nesting(self):
        self.refused_then_alive(b"[" * 100_000 + b"\n", -32700, "nested too deeply")

    def test_a_number_too_long_for_an_integer(self):
        self.refused_then_alive(b'{"id":' + b"9" * 10_000 + b"}\n", -32700, "Parse error")

    def test_lone_surrogates(self):
        self.refused_then_alive(b'{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}\n', -32600, "an id is")
        self.refused_then_alive(b'{"jsonrpc":"2.0","id":1,"method":"\\ud800"}\n', -32601, "Method not found: \\ud800")
        result = self.child.call("fail", {"message": "\ud800"})
        self.assert_failed(result, "LookupError")

    def test_a_large_frame_comes_through_both_ways(self):
        value = {"text": "é" * 3_000_000}
        self.assertEqual(self.child.call("echo", {"value": value})["structuredContent"], value)

    def test_blank_lines_and_carriage_returns_are_tolerated(self):
        self.child.send(b"\n \r\n", PING.replace(b"\n", b"\r\n"), b"  " + PING)
        self.assertEqual([self.child.receive()["id"] for _ in range(2)], ["after", "after"])

    def test_mutated_frames_never_end_it(self):
        seeds = [
            line
            for path in sorted(FIXTURES.glob("*.jsonl"))
            for line in path.read_text().splitlines()
            if '"in"' in line
        ]
        frames = [json.dumps(json.loads(line)["in"]).encode() for line in seeds]
        frames = [frame for frame in frames if b"logging" not in frame]
        chance = random.Random(20260728)
        for _ in range(20):
            self.child.send(*(_mutated(chance.choice(frames), chance) + b"\n" for _ in range(50)), PING)
            while (answer := self.child.receive()) != {"jsonrpc": "2.0", "id": "after", "result": {}}:
                self.assertNotEqual(answer.get("error", {}).get("code"), -32603, self.child.stderr())

    def test_a_last_line_without_newline_is_answered(self):
        self.child.send(PING.rstrip())
        self.child.process.stdin.close()
        self.assertEqual(self.child.receive()["id"], "after")


def _mutated(frame, chance):
    """A frame with one to three of its bytes or values replaced."""
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(frame))
        what = chance.choice(
            [
                b"",
                b"null",
                b"[]",
                b"{}",
                b'"',
                b"-1",
                b"1e999",
                b"\\ud800",
                b"\x00",
                b"\xff",
                bytes([chance.randrange(256)]),
            ]
        )
        frame = frame[:at] + what + frame[at + chance.randint(0, 8) :]
    return frame.replace(b"\n", b" ")


class FrameReading(unittest.TestCase):
    def read_all(self, chunks, limit):
        reading, writing = os.pipe()
        frames, lines = Frames(reading, limit), []
        for chunk in chunks:
            os.write(writing, chunk)
            lines += frames.read()
        os.close(writing)
        while (rest := frames.read()) is not None:
            lines += rest
        os.close(reading)
        return ["broken" if isinstance(line, Broken) else line for line in lines]

    def test_every_cut_gives_the_same_lines(self):
        text = 'één\n\n"zwei"\ndrei'.encode()
        for size in range(1, len(text) + 1):
            chunks = [text[start : start + size] for start in range(0, len(text), size)]
            self.assertEqual(self.read_all(chunks, 100), ["één", "", '"zwei"', "drei"], size)

    def test_a_giant_line_is_dropped_and_its_neighbours_are_not(self):
        self.assertEqual(self.read_all([b"a\nbbbb", b"bbbb", b"bbbb", b"b\nc\nd"], 10), ["a", "broken", "c", "d"])
        self.assertEqual(self.read_all([b"bbbbbbbbbbbb", b"b"], 10), ["broken"])


class WithoutAShim(ScriptTest):
    def test_prints_are_kept_off_the_stream_from_run_on(self):
        path = self.script(
            "from agent_runtime import Server\nserver = Server('s')\nprint('buffered before run')\n"
            "@server.tool\ndef shout() -> str:\n    print('loud', flush=True)\n    return 'done'\nserver.run()\n"
        )
        with Child(path, environment={"AGENT_PARENT_PID": "", "PYTHONUNBUFFERED": ""}) as child:
            child.initialize()
            self.assertEqual(child.call("shout")["structuredContent"], {"result": "done"})
            self.assertEqual(child.end(), 0)
            self.assertIsNone(child.line())

    def test_calls_in_a_file_are_all_answered_in_a_file(self):
        call = {
            "jsonrpc": "2.0",
            "id": 2,
            "method": "tools/call",
            "params": {"name": "block", "arguments": {"seconds": 2.5}},
        }
        initialize = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}}
        nap = {**call, "id": 3, "params": {"name": "nap", "arguments": {"seconds": 0.1}}}
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as answers:
            given.write("".join(json.dumps(frame) + "\n" for frame in (initialize, call, nap)).encode())
            given.seek(0)
            command = [sys.executable, str(PROGRAMS / "runner.py")]
            environment = {**os.environ, "PYTHONPATH": str(RUNTIME), "AGENT_PARENT_PID": str(os.getpid())}
            done = subprocess.run(
                command, stdin=given, stdout=answers, stderr=subprocess.DEVNULL, env=environment, timeout=20
            )
            answers.seek(0)
            self.assertEqual((done.returncode, sorted(json.loads(line)["id"] for line in answers)), (0, [1, 2, 3]))

    def test_json_without_the_c_accelerator(self):
        path = self.script(
            "import sys\nsys.modules['_json'] = None\nfrom agent_runtime import Server\nserver = Server('s')\n"
            "@server.tool\ndef echo(value: dict) -> dict:\n    return {**value, 'set': {1}} if value.get('bad') else value\nserver.run()\n"
        )
        with Child(path) as child:
            child.initialize()
            value = {"text": 'é"\n', "number": 1.5, "none": None}
            self.assertEqual(child.call("echo", {"value": value})["structuredContent"], value)
            self.assertTrue(child.call("echo", {"value": {"bad": True}})["isError"])
            child.send(b'{"id":NaN}\n')
            self.assertEqual(child.receive()["error"]["code"], -32700)


if __name__ == "__main__":
    unittest.main()
