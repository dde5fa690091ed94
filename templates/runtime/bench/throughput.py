"""Calls a second of a trivial tool, and start-up, as ratios against a bare JSON loop in the same run.

    python3 templates/runtime/bench/throughput.py [CALLS]

Every server gets the same frames and gives the same results. `pipelined` writes all calls at once, `one by one` waits for
each answer. The official SDK takes part where `mcp` is importable.
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

RUNTIME = Path(__file__).resolve().parents[1]
ROUNDS = 5

_PLAIN = """
import json, sys
def add(a, b):
    return a + b
for line in sys.stdin:
    message = json.loads(line)
    if message["method"] == "initialize":
        result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "x", "version": "1"}}
    elif "id" in message:
        value = add(**message["params"]["arguments"])
        result = {"content": [{"type": "text", "text": json.dumps(value)}], "structuredContent": {"result": value}, "isError": False}
    else:
        continue
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}) + "\\n")
    FLUSH
"""
_SERVERS = {
    "bare loop": _PLAIN.replace("FLUSH", "sys.stdout.flush()"),
    "bare loop, never flushed": _PLAIN.replace("FLUSH", "pass"),
    "agent_runtime": """
from agent_runtime import Server
server = Server("x")
@server.tool
def add(a: int, b: int) -> int:
    return a + b
server.run()
""",
    "agent_runtime, async": """
from agent_runtime import Server
server = Server("x")
@server.tool
async def add(a: int, b: int) -> int:
    return a + b
server.run()
""",
    "official SDK": """
from mcp.server import MCPServer
server = MCPServer("x", log_level="ERROR")
@server.tool()
def add(a: int, b: int) -> int:
    return a + b
server.run()
""",
}
_INITIALIZE = (
    b'{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},'
    b'"clientInfo":{"name":"bench","version":"1"}}}\n'
)
_INITIALIZED = b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n'


def _call(number):
    return b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"add","arguments":{"a":%d,"b":2}}}\n' % (
        number,
        number,
    )


class Child:
    """A server under test; `start_s` is the time from its launch to its first answer."""

    def __init__(self, script):
        environment = {**os.environ, "PYTHONPATH": str(RUNTIME)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=environment
        )
        self._send(_INITIALIZE)
        self._wait_for(1)
        self.start_s = time.perf_counter() - began
        self._send(_INITIALIZED)

    def _send(self, data):
        view = memoryview(data)
        while view:
            view = view[os.write(self.process.stdin.fileno(), view) :]

    def _wait_for(self, lines):
        while lines > 0:
            data = os.read(self.process.stdout.fileno(), 1 << 16)
            if not data:
                raise SystemExit(f"{self.process.args} ended early")
            lines -= data.count(b"\n")

    def pipelined(self, calls):
        frames = b"".join(_call(number) for number in range(1, calls + 1))
        sender = threading.Thread(target=self._send, args=(frames,))
        began = time.perf_counter()
        sender.start()
        self._wait_for(calls)
        sender.join()
        return calls / (time.perf_counter() - began)

    def one_by_one(self, calls):
        frames = [_call(number) for number in range(1, calls + 1)]
        began = time.perf_counter()
        for frame in frames:
            self._send(frame)
            self._wait_for(1)
        return calls / (time.perf_counter() - began)

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def _unflushed(name):
    return name.endswith("never flushed")


class Figures:
    """The best of some rounds of one server: start-up in ms, and calls a second both ways."""

    def __init__(self, name, script):
        self.name = name
        self.script = script
        self.start = None
        self.piped = self.single = 0

    def round(self, calls):
        if self.name.endswith("never flushed"):
            self.piped = max(self.piped, _unflushed_rate(self.script, calls))
            return
        child = Child(self.script)
        self.start = min(self.start or child.start_s * 1000, child.start_s * 1000)
        self.single = max(self.single, child.one_by_one(calls // 10))
        self.piped = max(self.piped, child.pipelined(calls))
        child.close()

    def row(self, bare, baseline):
        row = f"{self.name:26} "
        row += f"{self.start:6.1f} ms {self.start - bare:+7.1f} ms" if self.start else " " * 20
        row += f" {self.piped:9.0f}/s {self.piped / baseline.piped:6.2f}"
        return row + (f" {self.single:9.0f}/s {self.single / baseline.single:6.2f}" if self.single else "")


def _unflushed_rate(script, calls):
    """A loop that never flushes answers only when its buffer is full: it is timed to its end."""
    frames = _INITIALIZE + b"".join(_call(number) for number in range(1, calls + 1))
    times = []
    for data in (_INITIALIZE, frames):
        began = time.perf_counter()
        subprocess.run([sys.executable, script], input=data, stdout=subprocess.PIPE, check=True)
        times.append(time.perf_counter() - began)
    return calls / (times[1] - times[0])


def bare_start():
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return (time.perf_counter() - began) * 1000


def servers(folder):
    """The servers' scripts; the official SDK where it is installed."""
    for name, source in _SERVERS.items():
        if name != "official SDK" or importlib.util.find_spec("mcp") is not None:
            script = Path(folder, f"server_{name.replace(' ', '_').replace(',', '')}.py")
            script.write_text(source)
            yield Figures(name, str(script))


def main():
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    with tempfile.TemporaryDirectory() as folder:
        figures = list(servers(folder))
        bare = bare_start()
        # Interleaved, so that load on the machine affects all servers alike.
        for _ in range(ROUNDS):
            bare = min(bare, bare_start())
            for each in figures:
                each.round(calls if each.name != "official SDK" else min(calls, 1000))
    print(f"python {sys.version.split()[0]}, {calls} calls, best of {ROUNDS}; bare `python -c pass`: {bare:.1f} ms")
    print(
        f"{'server':26} {'start':>9} {'over bare':>10} {'pipelined':>11} {'ratio':>6} {'one by one':>11} {'ratio':>6}"
    )
    for each in figures:
        print(each.row(bare, figures[0]))


if __name__ == "__main__":
    main()
