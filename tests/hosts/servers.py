"""Servers from PyPI and npm as the Runner, unchanged: each answer through `agent mcp runner` is, byte for byte, the server's own.

    python3 tests/hosts/servers.py [--agent target/release/agent] [--only time,git,memory,npm-everything]

Every server is adopted (`agent adopt`), released, and asked the same questions directly and through the shim, over stdio. Exits 1 when an answer differs.
"""

import argparse
import json
import pathlib
import subprocess
import sys

import environment

TIME = "mcp-server-time"
GIT = "mcp-server-git"
MEMORY = "@modelcontextprotocol/server-memory"
EVERYTHING = "@modelcontextprotocol/server-everything"

HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "recipe", "version": "1"}}
# a vendor's field and a number that no float can represent, in the request
EXTRA = {"example.org/vendor": 12345678901234567890123}


def tool(name, **arguments):
    return "tools/call", {"name": name, "arguments": arguments, "_meta": EXTRA}


def servers(folder):
    """Name, command, and questions; the folder is a git repository to look at."""
    python = environment.python("servers", TIME, GIT)
    programs = environment.node(MEMORY, EVERYTHING)
    node = str(programs / "node")
    package = lambda name: str(programs.parent / name / "dist" / "index.js")
    return {
        "time": (
            [str(python), "-m", "mcp_server_time", "--local-timezone", "UTC"],
            [
                ("tools/list", {}),
                tool("convert_time", source_timezone="Europe/Berlin", time="16:30", target_timezone="Asia/Tokyo"),
                tool("convert_time", source_timezone="Nowhere", time="16:30", target_timezone="Asia/Tokyo"),
            ],
        ),
        "git": (
            [str(python), "-m", "mcp_server_git"],
            [("tools/list", {}), tool("git_log", repo_path=str(folder), max_count=3), tool("git_status", repo_path=str(folder)), tool("git_show", repo_path=str(folder), revision="no-such")],
        ),
        "memory": (
            [node, package(MEMORY)],
            [("tools/list", {}), tool("read_graph"), tool("search_nodes", query="ö")],
        ),
        "npm-everything": (
            [node, package(EVERYTHING)],
            [
                ("tools/list", {}),
                ("prompts/list", {}),
                ("resources/templates/list", {}),
                tool("echo", message="größe \u2028 12345678901234567890123"),
                tool("get-sum", a=1, b=2.5),
                tool("no-such-tool"),
                ("prompts/get", {"name": "simple-prompt"}),
                ("no/such", {}),
            ],
        ),
    }


def answers(command, questions):
    """The line of each answer to sequential requests."""
    process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    lines = []
    try:
        for id, (method, params) in enumerate([("initialize", HELLO), *questions]):
            process.stdin.write(json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).encode() + b"\n")
            if id == 0:
                process.stdin.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
            process.stdin.flush()
            lines.append(answer(process, id))
    finally:
        process.kill()
        process.wait()
    return lines[1:]


def answer(process, id):
    for line in process.stdout:
        frame = json.loads(line)
        if frame.get("id") == id and "method" not in frame:
            return line
        if "id" in frame and "method" in frame:
            process.stdin.write(json.dumps({"jsonrpc": "2.0", "id": frame["id"], "error": {"code": -32601, "message": "not here"}}).encode() + b"\n")
            process.stdin.flush()
    sys.exit("the server is gone")


def outcome(line):
    """What follows the id: how a frame begins is its sender's affair."""
    frame = json.loads(line)
    text = line.decode().strip()
    part = "result" if "result" in frame else "error"
    at = text.index(f'"{part}"')
    rest = text[at:].rstrip("}")
    # a server may put the id behind the result
    return rest.rsplit(',"jsonrpc"', 1)[0].rstrip("}") if ',"jsonrpc"' in rest else rest


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent", type=pathlib.Path, default=environment.ROOT / "target/release/agent")
    parser.add_argument("--only")
    arguments = parser.parse_args()
    agent = arguments.agent.resolve()
    good = True
    # `agent` installs them itself, by a lock
    adopted = {
        "memory": (["npx", "-y", MEMORY],),
        "npm-everything": (["npx", "-y", EVERYTHING],),
        "time": (["python", "-m", "mcp_server_time", "--local-timezone", "UTC"], TIME),
        "git": (["python", "-m", "mcp_server_git"], GIT),
    }
    for name, (command, questions) in servers(environment.ROOT).items():
        if arguments.only and name not in arguments.only.split(","):
            continue
        shim = [agent, *environment.repository(agent, name, *adopted[name])]
        for question, direct, shimmed in zip(questions, answers(command, questions), answers(shim, questions)):
            same = outcome(direct) == outcome(shimmed)
            good = good and same
            shown = question[0] + (" " + question[1].get("name", "") if "name" in question[1] else "")
            print(f"{name:16}{shown:44}{len(direct):>8} bytes  {'same' if same else 'NOT THE SAME'}", flush=True)
            if not same:
                print(f"--- directly\n{direct.decode()}--- through agent\n{shimmed.decode()}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
