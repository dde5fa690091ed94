"""Drives real servers over pipes; every wait has a deadline, none is a sleep."""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

RUNTIME = Path(__file__).resolve().parents[1]
PROGRAMS = Path(__file__).resolve().parent / "programs"
FIXTURES = RUNTIME.parents[1] / "tests" / "protocol"
DEADLINE_S = 20

STATELESS = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}


class Child:
    """A child process with frames over pipes; stderr goes to a file, so that it never blocks."""

    def __init__(self, *command, environment=None, folder=None, stdout=subprocess.PIPE):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=self.errors,
            bufsize=0,
            # not in its code's folder, so that errors name no line of it
            cwd=folder or FIXTURES,
            env={**os.environ, "PYTHONPATH": str(RUNTIME), "AGENT_PARENT_PID": str(os.getpid()), **(environment or {})},
        )
        self._pending = b""
        self._next_id = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            if stream is not None:
                stream.close()

    def send(self, *frames):
        """Sends frames: values as JSON, bytes unchanged."""
        data = b"".join(frame if isinstance(frame, bytes) else json.dumps(frame).encode() + b"\n" for frame in frames)
        self.process.stdin.write(data)

    def line(self, deadline_s=DEADLINE_S):
        """The next line, or None at the end of output."""
        until = time.monotonic() + deadline_s
        while b"\n" not in self._pending:
            if not select.select([self.process.stdout], [], [], max(0, until - time.monotonic()))[0]:
                raise TimeoutError(f"no frame; standard error: {self.stderr()}")
            data = os.read(self.process.stdout.fileno(), 1 << 16)
            if not data:
                return None
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def receive(self):
        line = self.line()
        if line is None:
            raise EOFError(f"the output ended; standard error: {self.stderr()}")
        return json.loads(line, parse_constant=lambda name: (_ for _ in ()).throw(ValueError(name)))

    def request(self, method, params=None):
        self._next_id += 1
        frame = {"jsonrpc": "2.0", "id": self._next_id, "method": method}
        self.send(frame if params is None else {**frame, "params": params})
        answer = self.receive()
        if answer.get("id") != self._next_id:
            raise AssertionError(f"asked {self._next_id}, got {answer}")
        return answer

    def initialize(self, revision="2025-11-25"):
        result = self.request(
            "initialize", {"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        )
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return result["result"]

    def call(self, tool, arguments=None, meta=None):
        """The result of a tool's call."""
        params = {"name": tool, "arguments": arguments or {}}
        answer = self.request("tools/call", params if meta is None else {**params, "_meta": meta})
        if "error" in answer:
            raise AssertionError(answer["error"])
        return answer["result"]

    def start_call(self, identifier, tool, **arguments):
        self.send(
            {
                "jsonrpc": "2.0",
                "id": identifier,
                "method": "tools/call",
                "params": {"name": tool, "arguments": arguments},
            }
        )

    def end(self):
        """Ends its input; its exit code."""
        self.process.stdin.close()
        return self.process.wait(DEADLINE_S)

    def stderr(self):
        self.errors.seek(0)
        return self.errors.read().decode()

    def logged(self):
        """The records on standard error that are JSON."""
        return [json.loads(line) for line in self.stderr().splitlines() if line.startswith('{"time"')]


class ServerTest(unittest.TestCase):
    """A test over one program, started and initialized when first used."""

    program = PROGRAMS / "runner.py"
    revision = "2025-11-25"

    def setUp(self):
        self.child = self.enterContext(self.start())

    def start(self, **more):
        child = Child(self.program, **more)
        try:
            child.initialize(self.revision)
        except BaseException:
            child.__exit__()
            raise
        return child

    def assert_refused(self, answer, code, words):
        self.assertEqual(answer.get("error", {}).get("code"), code, answer)
        self.assertIn(words, answer["error"]["message"])

    def assert_failed(self, result, words):
        self.assertTrue(result["isError"], result)
        self.assertIn(words, result["content"][0]["text"])
        self.assertNotIn("structuredContent", result)


class ScriptTest(unittest.TestCase):
    """A test that writes its own small program."""

    def script(self, text):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        path = Path(folder, "program.py")
        path.write_text(text)
        return path
