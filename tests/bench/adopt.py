"""How long `agent adopt` takes for public MCP servers of PyPI and npm, beside the mere installation of the same packages.

    just bench-adopt [--without-uv] [--binary FILE] [NAME...]

Each server is adopted twice, unchanged, in a new repository of its own: first with empty caches (uv's, npm's, agent's), then with what that left behind
(`processor`: the processor time of that one, which does not depend on other programs of the machine).
The second one is committed, released, and served by `agent mcp runner` until `initialize`, `tools/list` and one call are answered. The baseline in the
same run is `uv venv` and `uv pip install` (`npm install` for packages of Node), with empty caches and again with warm ones.

Prints a line for each server, medians, and the reasons of those that failed. Needs PyPI, npm and Node.
"""

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# name: (the package to install, files of the repository, arguments of `agent adopt`)
SERVERS = {
    "mcp-server-time": (["mcp-server-time"], {}, ["--command", "uvx mcp-server-time --local-timezone UTC"]),
    "mcp-server-git": (["mcp-server-git"], {}, ["--command", "uvx mcp-server-git"]),
    "mcp-server-fetch": (["mcp-server-fetch"], {}, ["--command", "uvx mcp-server-fetch"]),
    # it does not start with the current `mcp`, which it does not exclude
    "mcp-server-sqlite": (
        ["mcp-server-sqlite", "mcp[cli]<2"],
        {"requirements.txt": "mcp-server-sqlite\nmcp[cli]<2\n"},
        ["--command", "mcp-server-sqlite --db-path test.db"],
    ),
    "mcp-server-calculator": (["mcp-server-calculator"], {}, ["--command", "uvx mcp-server-calculator"]),
    "arxiv-mcp-server": (["arxiv-mcp-server"], {}, ["--command", "uvx arxiv-mcp-server"]),
    "duckduckgo-mcp-server": (["duckduckgo-mcp-server"], {}, ["--command", "uvx duckduckgo-mcp-server"]),
    "wikipedia-mcp": (["wikipedia-mcp"], {}, ["--command", "uvx wikipedia-mcp"]),
    "markitdown-mcp": (["markitdown-mcp"], {}, ["--command", "uvx markitdown-mcp"]),
    "mcp-text-editor": (["mcp-text-editor"], {}, ["--command", "uvx mcp-text-editor"]),
    "server-everything": (["@modelcontextprotocol/server-everything"], {}, ["--command", "npx -y @modelcontextprotocol/server-everything"]),
    "server-filesystem": (
        ["@modelcontextprotocol/server-filesystem"],
        {"files/note.txt": "a note\n"},
        ["--command", "npx -y @modelcontextprotocol/server-filesystem files"],
    ),
    "server-memory": (["@modelcontextprotocol/server-memory"], {}, ["--command", "npx -y @modelcontextprotocol/server-memory"]),
    "server-sequential-thinking": (
        ["@modelcontextprotocol/server-sequential-thinking"],
        {},
        ["--command", "npx -y @modelcontextprotocol/server-sequential-thinking"],
    ),
    "playwright": (["@playwright/mcp"], {}, ["--command", "npx -y @playwright/mcp"]),
    "context7": (["@upstash/context7-mcp"], {}, ["--command", "npx -y @upstash/context7-mcp"]),
    "mcp-hello-world": (["mcp-hello-world"], {}, ["--command", "npx -y mcp-hello-world"]),
    "calculator-npm": (["@wrtnlabs/calculator-mcp"], {}, ["--command", "npx -y @wrtnlabs/calculator-mcp"]),
    "mcp-installer": (["@anaisbetts/mcp-installer"], {}, ["--command", "npx -y @anaisbetts/mcp-installer"]),
    "agent-infra-commands": (["@agent-infra/mcp-server-commands"], {}, ["--command", "npx -y @agent-infra/mcp-server-commands"]),
}


def client_of_servers():
    """The stdio client of tests/servers/adopt.py."""
    spec = importlib.util.spec_from_file_location("servers_adopt", ROOT / "tests/servers/adopt.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Client


class Failed(Exception):
    pass


class Bench:
    def __init__(self, agent, uv, home):
        self.agent, self.uv, self.home = agent, uv, home
        self.client = client_of_servers()
        (home / ".gitconfig").write_text("[user]\n\tname = Bench\n\temail = bench@example.org\n[init]\n\tdefaultBranch = main\n")

    def environment(self, caches):
        path = [str(self.uv.parent)] if self.uv else []
        return {
            **os.environ,
            "PATH": os.pathsep.join([*path, os.environ["PATH"]]),
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(caches),
            "npm_config_cache": str(caches / "npm"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "AGENT_HOOK_LIMIT": "120",
        }

    def run(self, command, folder, caches):
        began = time.monotonic()
        done = subprocess.run(command, cwd=folder, env=self.environment(caches), capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise Failed(f"{' '.join(map(str, command[:4]))}: {(done.stdout + done.stderr).strip()[-600:]}")
        return time.monotonic() - began

    def repository(self, name, files, caches):
        folder = self.home / name
        folder.mkdir()
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        self.run(["git", "init", "-q"], folder, caches)
        if files:
            self.run(["git", "add", "-A"], folder, caches)
            self.run(["git", "commit", "-qm", "a server"], folder, caches)
        return folder

    def installed(self, name, packages, caches):
        """The packages alone, by the tool of their registry."""
        folder = self.home / name
        folder.mkdir()
        if packages[0].startswith("@") or name.startswith("mcp-hello-world"):
            seconds = self.run(["npm", "install", "--no-audit", "--no-fund", *packages], folder, caches)
        elif self.uv:
            seconds = self.run([self.uv, "venv", "-q", "env"], folder, caches)
            seconds += self.run([self.uv, "pip", "install", "-q", "--python", "env/bin/python", *packages], folder, caches)
        else:
            seconds = self.run([sys.executable, "-m", "venv", "env"], folder, caches)
            seconds += self.run(["env/bin/python", "-m", "pip", "install", "-q", *packages], folder, caches)
        shutil.rmtree(folder)
        return seconds

    def served(self, folder, caches):
        """Seconds from the start of `agent mcp runner` until a call is answered."""
        cases = [json.loads(line) for line in (folder / "tests/micro/adopted.jsonl").read_text().splitlines()]
        began = time.monotonic()
        client = self.client([self.agent, "mcp", "runner"], folder, self.environment(caches))
        try:
            about = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
            client.request("initialize", about)
            client.send({"method": "notifications/initialized"})
            tools = client.request("tools/list", {})["tools"]
            call = {"name": cases[0]["tool"], "arguments": cases[0]["arguments"]} if cases else {"name": tools[0]["name"], "arguments": {}}
            answer = client.request("tools/call", call)
            if "content" not in answer and "error" not in answer:
                raise Failed(f"the call was answered by {answer}")
            return time.monotonic() - began, len(tools), len(cases)
        finally:
            client.close()

    def measure(self, name):
        packages, files, arguments = SERVERS[name]
        caches, others = self.home / f"{name}-caches", self.home / f"{name}-others"
        caches.mkdir(), others.mkdir()
        adopt = [self.agent, "adopt", "--json", *arguments]
        cold = self.run(adopt, self.repository(f"{name}-cold", files, caches), caches)
        folder = self.repository(f"{name}-warm", files, caches)
        before = os.times()
        warm = self.run(adopt, folder, caches)
        after = os.times()
        processor = after.children_user + after.children_system - before.children_user - before.children_system
        self.run(["git", "add", "-A"], folder, caches)
        self.run(["git", "commit", "-qm", "adopt"], folder, caches)
        released = self.run([self.agent, "release"], folder, caches)
        serving, tools, cases = self.served(folder, caches)
        bare_cold = self.installed(f"{name}-bare", packages, others)
        bare = self.installed(f"{name}-bare", packages, others)
        for made in (caches, others, folder, self.home / f"{name}-cold"):
            shutil.rmtree(made, ignore_errors=True)
        return {
            "cold": cold,
            "warm": warm,
            "processor": processor,
            "install cold": bare_cold,
            "install": bare,
            "release": released,
            "serving": serving,
            "adopted and serving": warm + serving,
            "tools": tools,
            "cases": cases,
        }


SECONDS = ["cold", "warm", "processor", "install cold", "install", "release", "serving", "adopted and serving"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--binary", default=ROOT / "target/release/agent", type=Path)
    parser.add_argument("--uv", type=Path, help="the uv to put on PATH")
    parser.add_argument("--without-uv", action="store_true")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    arguments = parser.parse_args()
    found = arguments.uv or shutil.which("uv")
    uv = None if arguments.without_uv or not found else Path(found).absolute()
    home = Path(tempfile.mkdtemp(prefix="bench-adopt-"))
    bench = Bench(arguments.binary.absolute(), uv, home)
    print(f"{arguments.binary}, {'uv on PATH' if uv else 'no uv on PATH'}; seconds")
    print(f"{'server':<27}" + "".join(f"{column:>{len(column) + 2}}" for column in SECONDS) + "  tools  cases")
    results, failed = {}, {}
    for name in arguments.names or SERVERS:
        try:
            results[name] = figures = bench.measure(name)
        except (Failed, RuntimeError, OSError, KeyError) as problem:
            failed[name] = str(problem)
            print(f"{name:<27}  failed", flush=True)
            continue
        row = "".join(f"{figures[column]:>{len(column) + 2}.1f}" for column in SECONDS)
        print(f"{name:<27}{row}{figures['tools']:>7}{figures['cases']:>7}", flush=True)
    if results:
        medians = {column: statistics.median(one[column] for one in results.values()) for column in SECONDS}
        print(f"{'median':<27}" + "".join(f"{medians[column]:>{len(column) + 2}.1f}" for column in SECONDS))
    print(f"{len(results)} of {len(results) + len(failed)} adopted and served")
    for name, problem in failed.items():
        print(f"{name}: {problem}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"servers": results, "failed": failed}, indent=1))
    shutil.rmtree(home, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
