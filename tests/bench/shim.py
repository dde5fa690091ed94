"""`agent mcp runner` over stdio, compared with a direct connection to the same server, in one run.

    python3 tests/bench/shim.py [--agent target/release/agent] [--official FOLDER] [--rounds 9] [--calls 2000] [--day 86400] [--peer]

Two servers: one on agent_runtime, one of the official SDK (installed from PyPI into FOLDER, once). Of each: the time from the start of the first process to
the answer of `tools/list`; the time of a call, one at a time; calls a second with 16 in flight. Then, on agent_runtime: the shim's memory over 1,000 open
conversations and over as many calls as a day has seconds. `--peer` puts FastMCP's proxy beside it (from PyPI as well).
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

from tier_throughput import OFFICIAL, official_python

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUNTIME = """
from agent_runtime import Server, conversation

server = Server("bench")

@server.tool
def same(number: int) -> int:
    \"\"\"The number itself.\"\"\"
    return number

@server.tool(stateful=True)
def turn() -> int:
    \"\"\"The number of this turn.\"\"\"
    return conversation().turn

server.run()
"""
PROXY = """
import sys
from fastmcp.server import create_proxy

create_proxy({"mcpServers": {"bench": {"command": sys.argv[1], "args": sys.argv[2:]}}}).run(show_banner=False)
"""
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}


class Server:
    """A process spoken to line by line."""

    def __init__(self, command, folder, environment):
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.next_id = 0

    def post(self, method, params):
        self.next_id += 1
        frame = {"jsonrpc": "2.0", "id": self.next_id, "method": method, "params": params}
        self.process.stdin.write(json.dumps(frame).encode() + b"\n")
        self.process.stdin.flush()
        return self.next_id

    def answer(self):
        while True:
            line = self.process.stdout.readline()
            if not line:
                raise SystemExit("the server is gone")
            if b'"id"' in line[:40]:
                return line

    def request(self, method, params):
        self.post(method, params)
        frame = json.loads(self.answer())
        if "error" in frame or frame["result"].get("isError"):
            raise SystemExit(f"{method}: {frame}")
        return frame["result"]

    def greet(self):
        self.request("initialize", HELLO)
        self.process.stdin.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        return self

    def call(self, tool, arguments):
        return self.request("tools/call", {"name": tool, "arguments": arguments})

    def resident_kib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def repository(folder, command, program):
    """A served version of one program, made by git alone."""
    folder.mkdir(parents=True)
    shutil.copytree(ROOT / "templates/runtime/agent_runtime", folder / "agent_runtime")
    manifest = f'schema = "agent/manifest@1"\nname = "bench"\n[runner]\ncommand = {json.dumps(command)}\n'
    for path, text in {"agent.toml": manifest, "server.py": program, "state/active.state.json": "{}\n", ".gitignore": ".agent/\n"}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)

    def git(*arguments):
        return subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet", "--initial-branch=main")
    git("add", "--all")
    git("config", "user.name", "bench")
    git("config", "user.email", "bench@example.org")
    state = git("hash-object", "state/active.state.json")
    trailers = f"Agent-Kind: release\nAgent-Version: 0.1.0\nAgent-State: {state}\nAgent-Eval: sha256:00\nAgent-Gate: sha256:00"
    git("commit", "--quiet", "--message", "a version", "--message", trailers)
    git("branch", "active")
    git("tag", "v0.1.0")


def first_list(start):
    """Milliseconds from the start of the process to the answer of `tools/list`."""
    began = time.perf_counter()
    server = start().greet()
    server.request("tools/list", {})
    took = time.perf_counter() - began
    server.end()
    return took * 1000


def one_at_a_time(server, calls):
    """Milliseconds of each call."""
    took = []
    for number in range(calls):
        began = time.perf_counter()
        server.call("same", {"number": number})
        took.append((time.perf_counter() - began) * 1000)
    return took


def in_flight(server, calls, width=16):
    """Calls a second."""
    began = time.perf_counter()
    for number in range(min(width, calls)):
        server.post("tools/call", {"name": "same", "arguments": {"number": number}})
    for number in range(calls):
        server.answer()
        if number + width < calls:
            server.post("tools/call", {"name": "same", "arguments": {"number": number}})
    return calls / (time.perf_counter() - began)


def compare(name, sides, rounds, calls):
    """Direct against each of the others, in turns."""
    print(f"\n{name}")
    baseline = sides[0][0]
    lists = {side: [] for side, _ in sides}
    for _ in range(rounds):
        for side, start in sides:
            lists[side].append(first_list(start))
    report("first tools/list, ms", lists, baseline, "{:9.1f}", lambda base, value: f"{base / value:8.1f} times sooner")
    servers = [(side, start().greet()) for side, start in sides]
    for _, server in servers:
        one_at_a_time(server, 200)
    latencies = {side: [] for side, _ in sides}
    rates = {side: [] for side, _ in sides}
    for _ in range(rounds):
        for side, server in servers:
            latencies[side] += one_at_a_time(server, calls // rounds)
        for side, server in servers:
            rates[side].append(in_flight(server, calls))
    report("a call, ms", latencies, baseline, "{:9.3f}", lambda base, value: f"{value - base:+8.3f} ms")
    report("16 in flight, calls/s", rates, baseline, "{:9.0f}", lambda base, value: f"{value / base:8.2f} of direct")
    for _, server in servers:
        server.end()


def report(what, samples, baseline, form, relation):
    base = statistics.median(samples[baseline])
    for side, values in samples.items():
        value = statistics.median(values)
        beside = "" if side == baseline else relation(base, value)
        print(f"  {what:24}{side:10}{form.format(value)}  {beside}")


def memory(start, day):
    print("\nmemory of the shim over agent_runtime, MiB")
    server = start().greet()
    server.call("same", {"number": 1})
    print(f"  at first                {server.resident_kib() / 1024:8.1f}")
    began = time.perf_counter()
    for turn in range(2):
        for number in range(1000):
            server.call("turn", {"conversation_id": f"c{number}"})
    took = (time.perf_counter() - began) * 1000 / 2000
    print(f"  1,000 conversations     {server.resident_kib() / 1024:8.1f}   {took:.2f} ms a turn")
    part = day // 10
    for tenth in range(10):
        in_flight(server, part)
        print(f"  after {(tenth + 1) * part:7,} calls     {server.resident_kib() / 1024:8.1f}")
    server.end()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--agent", type=pathlib.Path, default=ROOT / "target/release/agent")
    parser.add_argument("--official", type=pathlib.Path, default=ROOT / "target/bench-official")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--day", type=int, default=86400)
    parser.add_argument("--peer", action="store_true")
    given = parser.parse_args()
    agent = given.agent.resolve()
    official = official_python(given.official.resolve())
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        starts = {}
        for name, python, program in [("agent_runtime", "python3", RUNTIME), ("official SDK", official, OFFICIAL)]:
            place = folder / name.replace(" ", "-")
            repository(place, [python, "server.py"], program)

            def direct(command=(python, "server.py"), place=place):
                return Server(command, place, environment)

            def shim(place=place):
                return Server([agent, "mcp", "runner"], place, environment)

            first_list(shim)  # makes the checkout, and the record of the server's discovery
            first_list(direct)
            sides = [("direct", direct), ("agent", shim)]
            if given.peer:
                fastmcp = official_python(given.official.resolve().with_name("bench-fastmcp"), "fastmcp")
                (place / "proxy.py").write_text(PROXY)
                command = [fastmcp, "proxy.py", python, "server.py"]
                sides.append(("fastmcp", lambda command=command, place=place: Server(command, place, environment)))
            starts[name] = shim
            compare(f"{name} as the server", sides, given.rounds, given.calls)
        memory(starts["agent_runtime"], given.day)


if __name__ == "__main__":
    main()
