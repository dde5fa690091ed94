"""Adopts public MCP servers as they are, from PyPI and npm, and compares their answers with those of the server itself.

    just adopt-servers [NAME...]

For each server: a new repository, `agent adopt`, a commit, `agent release`, and the same requests to `agent mcp runner` and to the very program from the
environment that was made for it. Prints a table; exits with 1 where something is not as it should be. Needs PyPI, npm, Node.
"""

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

AGENT = os.environ.get("AGENT", "agent")
DEADLINE_S = 60

MIDDLEWARE = '''from fastmcp import FastMCP
from fastmcp.server.middleware import Middleware

class Counting(Middleware):
    calls = 0

    async def on_call_tool(self, context, call_next):
        Counting.calls += 1
        return await call_next(context)

mcp = FastMCP("counted")
mcp.add_middleware(Counting())

@mcp.tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b

@mcp.resource("memo://today")
def memo() -> str:
    return "a memo"

@mcp.prompt
def ask(topic: str) -> str:
    return f"Tell me about {topic}."

if __name__ == "__main__":
    mcp.run(show_banner=False)
'''

OFFICIAL = '''from mcp.server.mcpserver import MCPServer

mcp = MCPServer("official")

@mcp.tool()
def hello(name: str) -> str:
    """Says hello."""
    return f"hello {name}"

if __name__ == "__main__":
    mcp.run()
'''

# name: (files of the repository, arguments of `agent adopt`)
SERVERS = {
    "official-sdk": ({"server.py": OFFICIAL, "requirements.txt": "mcp>=2.3,<3\n"}, []),
    "fastmcp-middleware": ({"server.py": MIDDLEWARE, "requirements.txt": "fastmcp\n"}, []),
    "mcp-server-time": ({}, ["--command", "uvx mcp-server-time --local-timezone UTC"]),
    "mcp-server-git": ({}, ["--command", "uvx mcp-server-git"]),
    "mcp-server-fetch": ({}, ["--command", "uvx mcp-server-fetch"]),
    "mcp-server-sqlite": ({"requirements.txt": "mcp-server-sqlite\nmcp[cli]<2\n"}, ["--command", "mcp-server-sqlite --db-path test.db"]),
    "mcp-server-calculator": ({}, ["--command", "uvx mcp-server-calculator"]),
    "arxiv-mcp-server": ({}, ["--command", "uvx arxiv-mcp-server"]),
    "duckduckgo-mcp-server": ({}, ["--command", "uvx duckduckgo-mcp-server"]),
    "wikipedia-mcp": ({}, ["--command", "uvx wikipedia-mcp"]),
    "markitdown-mcp": ({}, ["--command", "uvx markitdown-mcp"]),
    "server-everything": ({}, ["--command", "npx -y @modelcontextprotocol/server-everything"]),
    "server-filesystem": ({"files/note.txt": "a note\n"}, ["--command", "npx -y @modelcontextprotocol/server-filesystem files"]),
    "server-memory": ({}, ["--command", "npx -y @modelcontextprotocol/server-memory"]),
    "server-sequential-thinking": ({}, ["--command", "npx -y @modelcontextprotocol/server-sequential-thinking"]),
    "playwright": ({}, ["--command", "npx -y @playwright/mcp"]),
    "context7": ({}, ["--command", "npx -y @upstash/context7-mcp"]),
    "mcp-hello-world": ({}, ["--command", "npx -y mcp-hello-world"]),
    "brave-search": ({}, ["--command", "npx -y @modelcontextprotocol/server-brave-search", "--env", "BRAVE_API_KEY=none"]),
    "calculator-npm": ({}, ["--command", "npx -y @wrtnlabs/calculator-mcp"]),
}


class Client:
    """A client of one server over stdio."""

    def __init__(self, command, folder, environment):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, bufsize=0
        )
        self.pending = b""
        self.next_id = 0

    def send(self, frame):
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **frame}).encode() + b"\n")

    def request(self, method, params):
        self.next_id += 1
        self.send({"id": self.next_id, "method": method, "params": params})
        until = time.monotonic() + DEADLINE_S
        while True:
            line = self.line(until)
            try:
                frame = json.loads(line)
            except ValueError:
                continue
            if frame.get("id") == self.next_id and "method" not in frame:
                return frame.get("result", {"error": frame.get("error")})
            if "method" in frame and "id" in frame:
                self.send({"id": frame["id"], "error": {"code": -32601, "message": "not offered"}})

    def line(self, until):
        while b"\n" not in self.pending:
            ready = select.select([self.process.stdout], [], [], max(0, until - time.monotonic()))[0]
            data = os.read(self.process.stdout.fileno(), 1 << 16) if ready else b""
            if not data:
                self.errors.seek(0)
                raise RuntimeError(f"no answer; {self.errors.read()[-400:].decode(errors='replace')}")
            self.pending += data
        line, _, self.pending = self.pending.partition(b"\n")
        return line

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.process.wait()


def answers(command, folder, environment, cases):
    """A server's discovery, and its answers to the calls of the cases."""
    client = Client(command, folder, environment)
    try:
        hello = client.request(
            "initialize",
            {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "adopt-servers", "version": "1"}},
        )
        client.send({"method": "notifications/initialized"})
        said = {"tools": sorted(client.request("tools/list", {}).get("tools", []), key=lambda tool: tool["name"])}
        for kind in ("prompts", "resources"):
            if kind in hello.get("capabilities", {}):
                said[kind] = client.request(f"{kind}/list", {}).get(kind)
        for case in cases:
            result = client.request("tools/call", {"name": case["tool"], "arguments": case["arguments"]})
            said[case["id"]] = result
        return said
    finally:
        client.close()


def run(command, folder, environment, **more):
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, **more)


def direct(folder, environment):
    """The server's own command line, as `agent.toml` has it, in the environment that was made for it."""
    text = (folder / "agent.toml").read_text()
    words = json.loads(text.split("command = ", 1)[1].split("\n", 1)[0])
    places = [*folder.glob(".agent/environments/*/bin"), *folder.glob(".agent/environments/*/node_modules/.bin")]
    found = [place / words[0] for place in places if (place / words[0]).exists()]
    if found:
        words[0] = str(found[0])
    data = folder / "direct-data"
    data.mkdir(exist_ok=True)
    declared = [line for line in text.splitlines() if line.startswith("env = ")]
    values = dict(word.split("=", 1) for line in declared for word in json.loads(line.removeprefix("env = ")) if "=" in word)
    return [word.replace("$AGENT_DATA", str(data)) for word in words], {**environment, **values, "AGENT_DATA": str(data)}


def adopt(name, files, arguments, home):
    """(seconds, whether it was adopted, released, gives equal answers; what went wrong)"""
    environment = {**os.environ, "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", "AGENT_HOOK_LIMIT": "120"}
    folder = home / name
    folder.mkdir()
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    run(["git", "init", "-q", "-b", "main"], folder, environment)
    if files:
        run(["git", "add", "-A"], folder, environment)
        run(["git", "commit", "-qm", "a server"], folder, environment)
    began = time.monotonic()
    adopted = run([AGENT, "adopt", *arguments], folder, environment)
    seconds = time.monotonic() - began
    if adopted.returncode:
        return seconds, False, False, False, adopted.stderr[-1500:]
    run(["git", "add", "-A"], folder, environment)
    committed = run(["git", "commit", "-qm", "adopt"], folder, environment)
    released = run([AGENT, "release"], folder, environment)
    if committed.returncode or released.returncode:
        return seconds, True, False, False, (committed.stderr + released.stdout + released.stderr)[-1500:]
    cases = [json.loads(line) for line in (folder / "tests/micro/adopted.jsonl").read_text().splitlines()]
    command, own = direct(folder, environment)
    expected, again = (answers(command, folder, own, cases) for _ in range(2))
    got = answers([AGENT, "mcp", "runner"], folder, environment, cases)
    # what two processes of the server itself answer differently is none to compare
    # nor is what lists the variables, of which `agent` adds some
    told = {key for key in expected if "AGENT_DATA" in json.dumps(got.get(key))}
    different = [key for key in expected if expected[key] == again[key] != got.get(key) and key not in told]
    problem = "".join(f"{key}: expected {json.dumps(expected[key])[:300]}, got {json.dumps(got.get(key))[:300]}\n" for key in different[:3])
    return seconds, True, True, not different, problem or f"{len(expected['tools'])} tools, {len(cases)} cases"


def main(names):
    home = Path(tempfile.mkdtemp(prefix="adopt-servers-"))
    (home / ".gitconfig").write_text("[user]\n\tname = Test\n\temail = test@example.org\n")
    for place in ("pip", "uv"):
        # packages that are here already
        source = Path.home() / ".cache" / place
        source.mkdir(parents=True, exist_ok=True)
        (home / ".cache").mkdir(exist_ok=True)
        (home / ".cache" / place).symlink_to(source)
    npm = Path.home() / ".npm"
    npm.mkdir(exist_ok=True)
    (home / ".npm").symlink_to(npm)
    failed = 0
    print(f"{'server':<28}{'seconds':>8}  adopted  released  equal")
    for name in names or SERVERS:
        try:
            seconds, *outcomes, told = adopt(name, *SERVERS[name], home)
        except Exception as error:
            seconds, outcomes, told = float("nan"), [False] * 3, repr(error)
        marks = ["yes" if outcome else "NO" for outcome in outcomes]
        print(f"{name:<28}{seconds:>8.1f}  {marks[0]:<7}  {marks[1]:<8}  {marks[2]:<5}", flush=True)
        if all(outcomes):
            print(f"    {told}", flush=True)
        else:
            failed += 1
            print("    " + told.strip().replace("\n", "\n    "), flush=True)
    shutil.rmtree(home, ignore_errors=True)
    print(f"{len(names or SERVERS) - failed} of {len(names or SERVERS)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
