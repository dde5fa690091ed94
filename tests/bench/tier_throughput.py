"""10,000 trivial cases through `agent test` against a bare JSON-RPC loop over the same agent_runtime child.

    python3 tests/bench/tier_throughput.py [--agent target/release/agent] [--cases 10000] [--rounds 3] [--official FOLDER]

With `--official` the child is a server of the official SDK, which is installed from PyPI into FOLDER, once.

Both sides are timed as whole commands, from the start of their first process to the last answer. The bare loop knows its requests beforehand,
keeps the child's pipe full and looks at nothing but the ends of lines: no judging is the most a harness could hope for.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUNNER = """
from agent_runtime import Server

server = Server("bench")

@server.tool
def same(number: int) -> int:
    \"\"\"The number itself.\"\"\"
    return number

server.run()
"""
OFFICIAL = """
from mcp.server.mcpserver import MCPServer

server = MCPServer("bench", log_level="ERROR")

@server.tool()
def same(number: int) -> int:
    \"\"\"The number itself.\"\"\"
    return number

server.run()
"""
MANIFEST = 'schema = "agent/manifest@1"\nname = "bench"\n[runner]\ncommand = ["python", "-m", "runner"]\n'


def make_repository(folder, cases, runner=RUNNER):
    shutil.copytree(ROOT / "templates/runtime/agent_runtime", folder / "agent_runtime")
    for path, text in {
        "agent.toml": MANIFEST,
        "runner/__main__.py": runner,
        "state/active.state.json": "{}\n",
        "tests/micro/cases.jsonl": "".join(
            json.dumps({"id": f"c{n}", "tool": "same", "arguments": {"number": n}, "expect": {"equals": n}}) + "\n" for n in range(cases)
        ),
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    subprocess.run(["git", "init", "-q", folder], check=True)


def official_python(folder, package="mcp"):
    """An interpreter with a package: the official SDK, as a rule."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", package], check=True)
    return str(python)


def bare_loop(folder, cases, python=sys.executable):
    """Seconds for the child to answer every request, its start and handshake included."""
    state = {"dev.agentvc/state": {"revision": "0" * 40, "path": str(folder / "state/active.state.json")}}
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
    frames = [{"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}, {"jsonrpc": "2.0", "method": "notifications/initialized"}]
    for n in range(cases):
        params = {"name": "same", "arguments": {"number": n}, "_meta": state}
        frames.append({"jsonrpc": "2.0", "id": n + 1, "method": "tools/call", "params": params})
    data = b"".join(json.dumps(frame, separators=(",", ":")).encode() + b"\n" for frame in frames)
    started = time.perf_counter()
    child = subprocess.Popen(
        [python, "-m", "runner"], cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    threading.Thread(target=lambda: (child.stdin.write(data), child.stdin.flush()), daemon=True).start()
    lines = 0
    while lines < cases + 1:
        lines += os.read(child.stdout.fileno(), 1 << 18).count(b"\n")
    seconds = time.perf_counter() - started
    child.stdin.close()
    child.wait()
    return seconds


def agent_test(agent, folder, cases, shards, python=sys.executable):
    """Seconds for a whole `agent test` where no result is known yet."""
    for known in ("store", "pending"):
        shutil.rmtree(folder / ".agent" / known, ignore_errors=True)
    started = time.perf_counter()
    command = [agent, "-C", folder, "test", "--json", "--shards", str(shards)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env={**os.environ, "AGENT_PYTHON": python})
    seconds = time.perf_counter() - started
    summary = json.loads(done.stdout)["tiers"]["micro"]
    assert summary["passed"] == cases, summary
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent", default=ROOT / "target/release/agent", type=pathlib.Path)
    parser.add_argument("--cases", default=10_000, type=int)
    parser.add_argument("--rounds", default=3, type=int)
    parser.add_argument("--official", type=pathlib.Path)
    options = parser.parse_args()
    python = official_python(options.official.resolve()) if options.official else sys.executable
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        make_repository(folder, options.cases, OFFICIAL if options.official else RUNNER)
        sides = {
            "bare JSON-RPC loop": lambda: bare_loop(folder, options.cases, python),
            "agent test, one shard": lambda: agent_test(options.agent.resolve(), folder, options.cases, 1, python),
            "agent test, two shards": lambda: agent_test(options.agent.resolve(), folder, options.cases, 2, python),
        }
        # turn by turn, so that a busy machine is busy for all; the best of each, since noise only ever adds
        best = dict.fromkeys(sides, float("inf"))
        for _ in range(options.rounds):
            for name, run in sides.items():
                best[name] = min(best[name], run())
    base = best["bare JSON-RPC loop"]
    for name, seconds in best.items():
        print(f"{name:24} {seconds:7.3f} s  {options.cases / seconds:9.0f} cases/s  {base / seconds:5.2f} of the bare loop")


if __name__ == "__main__":
    main()
