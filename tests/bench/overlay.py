"""Public MCP servers, adopted unchanged: how often a host picks a wrong tool, before and after their presentation was tuned.

    just bench-overlay [--binary FILE] [--folder DIR] [NAME...]

Each server is adopted in a repository of its own, gets the template `presentation`, and is released. A scripted host then lists the tools of all servers
through `agent mcp runner`, as one host with many servers does, and picks for each request the tool whose name and description overlap it most: the score
is Okapi BM25 (Robertson et al., 1994; k1 = 1.2, b = 0.75) over word stems, ties go to the first tool. For each learning request, the server of the right tool gets
`picked(request, right_tool, wrong_tool)`, and the server of a wrong tool `picked(request, wrong_tool)`, as one `agent tune --signals` and one
`agent promote` a server. The tools are listed again, and the picks for the held-out requests, which are in no signal, are compared.

The requests are in overlay_requests.py, eight for each tool. Their order by a hash decides: the first five teach, three are held out. How many words of the
held-out ones occur in a learning request of the tool is printed. A folder that is given keeps the repositories, and later runs go on with those that are there. Needs PyPI, npm and Node.
"""

import argparse
import hashlib
import importlib.util
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from overlay_requests import REQUESTS

ROOT = Path(__file__).resolve().parents[2]

# name: (files of the repository, the command of a host)
SERVERS = {
    "mcp-server-time": ({}, "uvx mcp-server-time --local-timezone UTC"),
    "mcp-server-git": ({}, "uvx mcp-server-git"),
    "mcp-server-fetch": ({}, "uvx mcp-server-fetch"),
    # it does not start with the current `mcp`, which it does not exclude
    "mcp-server-sqlite": ({"requirements.txt": "mcp-server-sqlite\nmcp[cli]<2\n"}, "mcp-server-sqlite --db-path test.db"),
    "mcp-server-calculator": ({}, "uvx mcp-server-calculator"),
    "arxiv-mcp-server": ({}, "uvx arxiv-mcp-server"),
    "duckduckgo-mcp-server": ({}, "uvx duckduckgo-mcp-server"),
    "wikipedia-mcp": ({}, "uvx wikipedia-mcp"),
    "markitdown-mcp": ({}, "uvx markitdown-mcp"),
    "mcp-text-editor": ({}, "uvx mcp-text-editor"),
    "excel-mcp-server": ({}, "uvx excel-mcp-server stdio"),
    "server-everything": ({}, "npx -y @modelcontextprotocol/server-everything"),
    "server-filesystem": ({"files/note.txt": "a note\n"}, "npx -y @modelcontextprotocol/server-filesystem files"),
    "server-memory": ({}, "npx -y @modelcontextprotocol/server-memory"),
    "server-sequential-thinking": ({}, "npx -y @modelcontextprotocol/server-sequential-thinking"),
    "server-github": ({}, "npx -y @modelcontextprotocol/server-github"),
    "playwright": ({}, "npx -y @playwright/mcp"),
    "context7": ({}, "npx -y @upstash/context7-mcp"),
    "mcp-hello-world": ({}, "npx -y mcp-hello-world"),
    "calculator-npm": ({}, "npx -y @wrtnlabs/calculator-mcp"),
}

# Tools that serve a request as well as the one it was written for.
AS_GOOD = {
    ("server-filesystem", "read_text_file"): {("server-filesystem", "read_file"), ("mcp-text-editor", "get_text_file_contents")},
    ("mcp-text-editor", "edit_text_file_contents"): {("server-filesystem", "edit_file")},
    ("mcp-server-fetch", "fetch"): {("duckduckgo-mcp-server", "fetch_content")},
    **{("calculator-npm", tool): {("mcp-server-calculator", "calculate")} for tool in ("div", "mod", "mul", "sub")},
}

K1, B = 1.2, 0.75


def stem(word):
    return re.sub(r"(?<=...)(ing|ies|ed|es|s|e|y)$", "", word)


def terms(text):
    """The stems of a text; names in camel and snake case are several words."""
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower())
    return [stem(word) for word in words if len(word) > 1]


class Host:
    """Picks among the tools of all servers."""

    def __init__(self, listed):
        self.documents = {}
        for server, tools in listed.items():
            for tool in tools:
                text = f"{tool['name']} {tool.get('title') or ''} {tool.get('description') or ''}"
                self.documents[server, tool["name"]] = Counter(terms(text))
        self.frequencies = Counter(term for document in self.documents.values() for term in document)
        self.mean_length = sum(map(Counter.total, self.documents.values())) / len(self.documents)

    def score(self, document, request):
        total = 0.0
        for term in set(request) & set(document):
            seen = self.frequencies[term]
            weight = math.log(1 + (len(self.documents) - seen + 0.5) / (seen + 0.5))
            length = 1 - B + B * document.total() / self.mean_length
            total += weight * document[term] * (K1 + 1) / (document[term] + K1 * length)
        return total

    def pick(self, request):
        asked = terms(request)
        return max(self.documents, key=lambda tool: self.score(self.documents[tool], asked))


def is_right(pick, server, tool):
    # one server lists each of its tools twice, under two names
    name = pick[1].removeprefix("wikipedia_") if pick[0] == "wikipedia-mcp" else pick[1]
    return (pick[0], name) == (server, tool) or pick in AS_GOOD.get((server, tool), ())


TEACHING = 5  # requests of a tool; the others are held out


def requests_of(server, is_held_out):
    """The requests of a server with the tool that is right, of one side of the split."""
    for tool, requests in REQUESTS.get(server, {}).items():
        ordered = sorted(requests, key=lambda request: hashlib.sha256(request.encode()).hexdigest())
        for request in ordered[TEACHING:] if is_held_out else ordered[:TEACHING]:
            yield request, tool


def wrong(host, servers):
    """By server: the held-out requests, and those of them for which the pick is wrong."""
    counts = {}
    for server in servers:
        asked = list(requests_of(server, is_held_out=True))
        missed = [request for request, tool in asked if not is_right(host.pick(request), server, tool)]
        counts[server] = (asked, missed)
    return counts


def known_words(servers):
    """The share of the stems of held-out requests that occur in a learning request of the same tool, without those of a twentieth of all requests."""
    every = [request for server in servers for request, _ in requests_of(server, is_held_out=False)]
    usual = Counter(term for request in every for term in set(terms(request)))
    seen = total = 0
    for server in servers:
        learned = {}
        for request, tool in requests_of(server, is_held_out=False):
            learned.setdefault(tool, set()).update(terms(request))
        for request, tool in requests_of(server, is_held_out=True):
            asked = {term for term in terms(request) if usual[term] < len(every) / 20}
            seen, total = seen + len(asked & learned[tool]), total + len(asked)
    return seen / total


class Repositories:
    def __init__(self, binary, folder):
        self.agent, self.folder = binary, folder
        spec = importlib.util.spec_from_file_location("servers_adopt", ROOT / "tests/servers/adopt.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.client = module.Client

    def run(self, name, *command):
        done = subprocess.run(command, cwd=self.folder / name, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise RuntimeError(f"{' '.join(map(str, command[:4]))}: {(done.stdout + done.stderr).strip()[-600:]}")
        return done.stdout

    def adopt(self, name):
        """The server with a Tuner, released; nothing where an earlier run did that."""
        files, command = SERVERS[name]
        folder = self.folder / name
        if (folder / ".agent/bench").exists():
            return
        shutil.rmtree(folder, ignore_errors=True)
        for path, text in {**files, ".gitignore": ""}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        for setting in (["init", "-q"], ["config", "user.name", "Bench"], ["config", "user.email", "bench@example.org"], ["add", "-A"]):
            self.run(name, "git", *setting)
        self.run(name, "git", "commit", "-qm", "a server")
        adopted = json.loads(self.run(name, self.agent, "adopt", "--json", "--command", command))
        cases = folder / "tests/micro/adopted.jsonl"
        if not cases.read_text().strip():
            # every call of this server needs its service, and ends in an error without one
            tool = adopted["tools"][0]
            cases.write_text(json.dumps({"id": "offline", "tool": tool, "arguments": {}, "expect": {"error": "."}}) + "\n")
        self.run(name, self.agent, "templates", "apply", "presentation")
        self.run(name, "git", "add", "-A")
        self.run(name, "git", "commit", "-qm", "an agent", "--no-verify")
        self.run(name, self.agent, "release")
        (folder / ".agent/bench").write_text("released\n")

    def listed(self, name):
        client = self.client([self.agent, "mcp", "runner"], self.folder / name, dict(os.environ))
        try:
            client.request("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}})
            client.send({"method": "notifications/initialized"})
            return client.request("tools/list", {})["tools"]
        finally:
            client.close()

    def learn(self, name, signals):
        """One `agent tune` and one `agent promote`. Gives the version."""
        path = self.folder / name / ".agent/picks.jsonl"
        path.write_text("".join(json.dumps(signal) + "\n" for signal in signals))
        self.run(name, self.agent, "tune", "--signals", path)
        self.run(name, self.agent, "promote")
        return self.run(name, "git", "describe", "--tags", "active").strip()


def signals_of(host, servers):
    """By server, what the picks for the learning requests tell its Tuner."""
    signals = {server: [] for server in servers}

    def add(server, request, **tools):
        number = len(signals[server]) + 1
        signals[server].append({"id": f"pick-{number}", "tool": "picked", "arguments": {"request": request, **tools}})

    for server in servers:
        for request, tool in requests_of(server, is_held_out=False):
            pick = host.pick(request)
            if is_right(pick, server, tool):
                add(server, request, right_tool=tool)
            elif pick[0] == server:
                add(server, request, right_tool=tool, wrong_tool=pick[1])
            else:
                add(server, request, right_tool=tool)
                add(pick[0], request, wrong_tool=pick[1])
    return {server: sent for server, sent in signals.items() if sent}


def report(before, after, servers):
    """Prints the wrong picks of each server. Gives the reduction."""
    print(f"\n{'held-out requests':<27}{'number':>8}{'wrong before':>14}{'after':>7}{'now wrong':>11}")
    totals = [0, 0, 0, 0]
    for server in servers:
        (asked, missed), (_, left) = before[server], after[server]
        row = [len(asked), len(missed), len(left), len(set(left) - set(missed))]
        totals = [sum(pair) for pair in zip(totals, row, strict=True)]
        print("{:<27}{:>8}{:>14}{:>7}{:>11}".format(server, *row))
    print("{:<27}{:>8}{:>14}{:>7}{:>11}".format("all", *totals))
    reduction = 1 - totals[2] / totals[1]
    print(f"{reduction:.0%} fewer wrong picks; {known_words(servers):.0%} of the words of these requests are in a learning request of the same tool")
    return reduction


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--binary", default=ROOT / "target/release/agent", type=Path)
    parser.add_argument("--folder", type=Path, help="keeps the repositories")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    arguments = parser.parse_args()
    folder = (arguments.folder or Path(tempfile.mkdtemp(prefix="bench-overlay-"))).absolute()
    repositories = Repositories(arguments.binary.absolute(), folder)
    listed, failed = {}, {}
    for name in arguments.names or SERVERS:
        try:
            repositories.adopt(name)
            listed[name] = repositories.listed(name)
            print(f"{name:<27} adopted, {len(listed[name])} tools", flush=True)
        except (RuntimeError, OSError, KeyError) as problem:
            failed[name] = str(problem)
            print(f"{name:<27} failed: {problem}", flush=True)
    servers = list(listed)
    host = Host(listed)
    before = wrong(host, servers)
    for name, signals in signals_of(host, servers).items():
        version = repositories.learn(name, signals)
        listed[name] = repositories.listed(name)
        print(f"{name:<27} {len(signals)} picks, {version}", flush=True)
    host = Host(listed)
    after = wrong(host, servers)
    reduction = report(before, after, servers)
    print(f"{len(servers)} of {len(servers) + len(failed)} servers, {sum(map(len, listed.values()))} tools in one list")
    if arguments.json:
        figures = {"before": before, "after": after, "reduction": reduction, "failed": failed}
        arguments.json.write_text(json.dumps(figures, indent=1))
    if not arguments.folder:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
