"""Claude Code, Codex, Gemini CLI and opencode with an agent as their MCP server, through all that happens to a server in service, and what each made of it.

    python3 tests/hosts/hosts.py [--agent target/debug/agent] [--verbose] [HOST...]

The hosts are the real ones, from npm; their model is a script (model.py), so nothing else is needed: no key, no account. Each gets a repository and homes
of its own, and is told of the agent by `agent mcp install`: by the host's own command, by an edit of its configuration, and over HTTP with a token. In a running session a
version is promoted and another, with a new tool, released; then the Runner and the shim are killed. Prints a table and exits 1 where a cell is not as it should be.
A host that could not be installed has not passed. Linux only: processes are found in /proc.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import environment
import model

SERVER = "demo"
# a session is over by then, or it is ended
SESSION_S = 240
# processes end by themselves within this, when what they serve is gone
GONE_S = 20
# in so many turns, with a pause before each, a host shows its model a tool that was released, where it does in a running session
TURNS = 8
PAUSE_S = 0.5
# so many calls are made of a shim that was killed
CALLS = 3

# the variable that hosts take the token from
TOKEN = "HOSTS_TOKEN"
TOKEN_VALUE = "a-token-of-this-recipe"

# a tool that remembers: how often it was called in this conversation
COUNT = '''
class Calls(TypedDict):
    """How many there were."""

    calls: int


@server.tool(stateful=True, annotations={"readOnlyHint": True, "openWorldHint": False})
def count() -> Calls:
    """Counts the calls of this conversation."""
    kept = conversation().data
    kept["calls"] = kept.get("calls", 0) + 1
    return {"calls": kept["calls"]}


@server.tool(annotations={"readOnlyHint": True, "openWorldHint": False})
def wait() -> str:
    """Waits, until its process is ended."""
    (data() / "waiting").touch()
    time.sleep(600)
'''
# what they need beside `estimate`
IMPORTS = """import time

from agent_runtime import Server, conversation, data, state"""

SHOUT = '''
@server.tool(annotations={"readOnlyHint": True, "openWorldHint": False})
def shout(text: str) -> str:
    """Says it louder."""
    return text.upper()
'''


def claude_files(_, __):
    # servers of a project that the user has not approved
    return {".claude/settings.json": json.dumps({"enableAllProjectMcpServers": True})}


def gemini_files(_, __):
    # without it no way to sign in is chosen, whatever the environment has
    return {".gemini/settings.json": json.dumps({"security": {"auth": {"selectedType": "gemini-api-key"}}})}


def opencode_files(port, _):
    provider = {"npm": "@ai-sdk/openai-compatible", "options": {"baseURL": f"http://127.0.0.1:{port}/v1", "apiKey": "none"}, "models": {"m": {}}}
    settings = {"autoupdate": False, "share": "disabled", "model": "scripted/m", "small_model": "scripted/m", "provider": {"scripted": provider}}
    return {".config/opencode/opencode.json": json.dumps(settings)}


def codex_files(port, repository):
    return {
        ".codex/config.toml": f"""model = "scripted"
model_provider = "scripted"

[model_providers.scripted]
name = "scripted"
base_url = "http://127.0.0.1:{port}/v1"
wire_api = "responses"
env_key = "NO_KEY"

[projects."{repository}"]
trust_level = "trusted"
"""
    }


@dataclasses.dataclass(eq=False)
class Host:
    """A host: its package, the script of it that npm may not run, what it is called with, and what its home and environment hold."""

    title: str
    install: str
    package: str
    program: str
    prepare: str | None
    files: object
    variables: object
    arguments: list
    # whether it lists the tools again after a `list_changed` notification
    lists_again: bool = True


HOSTS = [
    Host(
        "Claude Code",
        "claude-code",
        "@anthropic-ai/claude-code@2.1.332",
        "claude",
        "install.cjs",
        claude_files,
        lambda port: {
            "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{port}",
            "ANTHROPIC_API_KEY": "none",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            # else tools are not listed before the model has searched for them
            "ENABLE_TOOL_SEARCH": "false",
        },
        ["-p", "Go on.", "--output-format", "stream-json", "--verbose", "--allowedTools", ",".join(f"mcp__{name}" for name in (SERVER, f"{SERVER}-tuner", f"{SERVER}-architect"))],
    ),
    Host(
        "Codex",
        "codex",
        "@openai/codex@0.171.0",
        "codex",
        None,
        codex_files,
        lambda _: {"NO_KEY": "none"},
        ["exec", "--json", "--skip-git-repo-check", "Go on."],
        lists_again=False,
    ),
    Host(
        "Gemini CLI",
        "gemini",
        "@google/gemini-cli@0.61.0",
        "gemini",
        None,
        gemini_files,
        lambda port: {"GOOGLE_GEMINI_BASE_URL": f"http://127.0.0.1:{port}", "GEMINI_API_KEY": "none", "GEMINI_CLI_TRUST_WORKSPACE": "true"},
        ["-p", "Go on.", "-m", "gemini-2.5-flash", "--approval-mode", "yolo", "--output-format", "stream-json"],
    ),
    Host(
        "opencode",
        "opencode",
        "opencode-ai@1.18.33",
        "opencode",
        "postinstall.mjs",
        opencode_files,
        lambda _: {"OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_AUTOUPDATE": "1"},
        ["run", "--format", "json", "Go on."],
    ),
]

# the rows of the table, by the session that fills them
RUNNING = [
    "first call",
    "promotion, same session",
    "new tool, same session",
    "Runner killed between calls",
    "one conversation a session",
    "Runner killed in a call",
    "shim killed, same session",
]
FRESH = ["shim killed, new session", "new tool, new session"]
ALL_SERVERS = "configuration edited, all servers"
PROJECT = "configuration of the project"
HTTP = "over HTTP, with a token"
LEFT = "processes left over"
ROWS = [*RUNNING, *FRESH, ALL_SERVERS, PROJECT, HTTP, LEFT]


@dataclasses.dataclass
class Cell:
    """Whether it is as it should be, a word for the table, and what was seen."""

    good: bool
    word: str
    seen: str = ""


def expected(turn, wanted):
    """Whether the last call's result holds this, when spaces and escapes are left out."""
    shown = re.sub(r"\s|\\\\", "", turn.result)
    return Cell(True, "ok") if re.search(wanted, shown) else Cell(False, "FAILED", f"wanted {wanted}, the host showed: {shown}")


def minutes(turn, wanted):
    return expected(turn, rf'"minutes":{wanted}(\.0)?\b')


def counted(turn, wanted):
    return expected(turn, rf'"calls":{wanted}\b')


def first_bad(*cells):
    return next((cell for cell in cells if not cell.good), cells[0])


ESTIMATE = model.Call("estimate", {"task": "review"})
COUNTED = model.Call("count", {})
SHOUTED = model.Call("shout", {"text": "louder"})


class World:
    """An agent repository, and the processes about it."""

    def __init__(self, agent, folder):
        self.agent = agent
        self.folder = folder
        self.repository = folder / SERVER
        self.home = folder / "home"
        self.home.mkdir()
        (self.home / ".gitconfig").write_text("[user]\n\tname = recipe\n\temail = recipe@example.org\n")
        self.environment = {"PATH": f"{agent.parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(self.home), "AGENT_HOOK_LIMIT": "60"}
        self.call([agent, "init", self.repository], folder)
        self.add_tool(COUNT, IMPORTS)
        self.release("runner: counts")

    def call(self, command, folder=None, **more):
        done = subprocess.run([str(part) for part in command], cwd=folder or self.repository, env={**self.environment, **more}, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def add_tool(self, code, imports=None):
        file = self.repository / "runner" / "__main__.py"
        before, main, after = file.read_text().partition('if __name__ == "__main__":')
        if imports:
            before = re.sub(r"^from agent_runtime import .*$", imports, before, flags=re.MULTILINE)
        file.write_text(f"{before.rstrip()}\n\n{code}\n\n{main}{after}")

    def release(self, message):
        self.call(["git", "commit", "--quiet", "--all", "-m", message])
        self.call([self.agent, "release"])

    def promote(self, task, minutes):
        self.call([self.agent, "tune", "took", f"task={task}", f"minutes={minutes}"])
        self.call([self.agent, "promote"])

    def processes(self):
        """Of all processes that have to do with this folder: id, parent, words of the command line."""
        mark = str(self.folder).encode()
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            # a process may end meanwhile
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes()
                status = (entry / "stat").read_text().rpartition(")")[2].split()
                about = words + (entry / "environ").read_bytes() + os.fsencode(os.readlink(entry / "cwd"))
                if mark in about and status[0] != "Z":
                    yield int(entry.name), int(status[1]), words.decode(errors="replace").split("\0")[:-1]

    def shims(self):
        return [id for id, _, words in self.processes() if words[-2:] == ["mcp", "runner"]]

    def runners(self):
        return [id for id, _, words in self.processes() if words[-2:] == ["-m", "runner"]]

    def kill(self, ids, what):
        """Ends these processes at once, and comes back when they are gone."""
        if not ids:
            raise RuntimeError(f"there is no {what} to kill")
        for id in ids:
            # a Runner of an earlier version may just have ended by itself
            with contextlib.suppress(ProcessLookupError):
                os.kill(id, signal.SIGKILL)
        self.gone(lambda: set(ids) & {id for id, _, _ in self.processes()})

    def kill_in_a_call(self):
        """Ends the Runner once it waits in its tool."""
        waiting = self.repository / ".agent" / "data" / "waiting"
        self.gone(lambda: not waiting.exists())
        self.kill(self.runners(), "Runner")

    def gone(self, left):
        """What is left of processes that should end."""
        until = time.monotonic() + GONE_S
        while (ids := left()) and time.monotonic() < until:
            time.sleep(0.05)
        return ids


class Trial:
    """One host in one world."""

    def __init__(self, host, world, programs, verbose):
        self.host, self.world, self.programs, self.verbose = host, world, programs, verbose
        self.cells = {}

    def environment(self, home, port):
        return {
            "PATH": f"{self.programs}{os.pathsep}{self.world.environment['PATH']}",
            "HOME": str(home),
            "TMPDIR": str(home / "tmp"),
            TOKEN: TOKEN_VALUE,
            **self.host.variables(port),
        }

    def session(self, name, script, *options, workplace=None):
        """A session of the host in the home of that name, where `agent mcp install` was called with these options, in an empty folder or in that one."""
        home = self.world.folder / name
        workplace = workplace or home / "work"
        for folder in (home, home / "tmp", workplace):
            folder.mkdir(exist_ok=True)
        with model.served(script) as (scripted, port):
            for path, text in self.host.files(port, self.world.repository).items():
                (home / path).parent.mkdir(parents=True, exist_ok=True)
                (home / path).write_text(text)
            variables = self.environment(home, port)
            command = [self.world.agent, "-C", self.world.repository, "mcp", "install", "--host", self.host.install, "--name", SERVER, *options]
            self.world.call(command, **variables)
            output = home / "output.txt"
            with output.open("w") as file:
                process = subprocess.Popen(
                    [str(self.programs / self.host.program), *self.host.arguments],
                    cwd=workplace,
                    env=variables,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                try:
                    code = process.wait(SESSION_S)
                except subprocess.TimeoutExpired:
                    code = f"none within {SESSION_S} s"
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            if self.verbose:
                print(f"--- {self.host.title}, {name}: exit {code}\n{output.read_text()}", flush=True)
                for path, body in scripted.requests:
                    print(f"    {path} {json.dumps(body)[-600:]}")
            if scripted.problem is not None:
                raise scripted.problem
            if not scripted.finished:
                raise RuntimeError(f"the session ended early, exit {code}: {output.read_text()[-1500:]}")

    def running(self, turn):
        """A session in which everything happens."""
        cells, world = self.cells, self.world
        turn = yield ESTIMATE
        cells["first call"] = minutes(turn, 30)
        turn = yield COUNTED
        conversation = [counted(turn, 1)]

        world.promote("review", 20)
        turn = yield ESTIMATE
        cells["promotion, same session"] = minutes(turn, 20)

        world.add_tool(SHOUT)
        world.release("runner: shouts")
        for number in range(TURNS):
            if turn.offered("shout"):
                break
            time.sleep(PAUSE_S)
            turn = yield model.Call("estimate", {"task": f"task {number}"})
        if turn.offered("shout"):
            turn = yield SHOUTED
            cells["new tool, same session"] = expected(turn, "LOUDER")
        else:
            cells["new tool, same session"] = Cell(not self.host.lists_again, "not listed", f"the host listed it in none of {TURNS} turns")

        world.kill(world.runners(), "Runner")
        turn = yield ESTIMATE
        cells["Runner killed between calls"] = minutes(turn, 20)
        turn = yield COUNTED
        conversation.append(counted(turn, 2))
        cells["one conversation a session"] = first_bad(*conversation)

        killing = threading.Thread(target=world.kill_in_a_call)
        killing.start()
        turn = yield model.Call("wait", {})
        killing.join()
        ended = expected(turn, "SIGKILL")
        turn = yield ESTIMATE
        cells["Runner killed in a call"] = first_bad(ended, minutes(turn, 20))

        world.kill(world.shims(), "shim")
        orphans = world.gone(world.runners)
        after = []
        while len(after) < CALLS and not (after and after[-1].good):
            turn = yield ESTIMATE
            after.append(minutes(turn, 20))
        cells["shim killed, same session"] = self.after_the_shim(after, orphans)

    def after_the_shim(self, after, orphans):
        """Checks that no Runner outlives its shim, whatever the host does with an ended server."""
        if orphans:
            return Cell(False, "FAILED", f"Runners outlived their shim: {orphans}")
        if not after[-1].good:
            return Cell(True, "error, not restarted", after[0].seen)
        return Cell(True, "ok, restarted" if len(after) == 1 else f"restarted at call {len(after)}", after[0].seen)

    def fresh(self, turn):
        """A session after all that."""
        listed = turn.offered("shout")
        turn = yield COUNTED
        conversation = counted(turn, 1)
        turn = yield ESTIMATE
        self.cells["shim killed, new session"] = first_bad(minutes(turn, 20), conversation)
        turn = yield SHOUTED
        called = expected(turn, "LOUDER")
        self.cells["new tool, new session"] = called if listed else Cell(False, "FAILED", "not listed")

    def short(self, row):
        """A session that shows that the configuration leads to the server, and that the session is a conversation."""

        def script(turn):
            turn = yield ESTIMATE
            estimated = minutes(turn, 20)
            turn = yield COUNTED
            first = counted(turn, 1)
            shown = re.search(r"[ch]-[0-9a-f-]{20,}", turn.result)
            turn = yield COUNTED
            second = counted(turn, 2)
            if not second.good and shown:
                # a host that does not name its session shows its model the id
                turn = yield model.Call("count", {"conversation_id": shown[0]})
                second = dataclasses.replace(counted(turn, 2), word="ok, by its id")
            self.cells[row] = first_bad(second, estimated, first)

        return script

    def all_servers(self, turn):
        """A session with the Tuner and the Architect beside the Runner."""
        turn = yield ESTIMATE
        cells = [minutes(turn, 20)]
        turn = yield model.Call("took", {"task": "deploy", "minutes": 12})
        cells.append(expected(turn, r"\b12\b"))
        turn = yield model.Call("give_feedback", {"text": "Estimates come without a range."})
        cells.append(expected(turn, r"\bf-[0-9a-f]{10}\b"))
        self.cells[ALL_SERVERS] = first_bad(*cells)

    def over_http(self):
        port = environment.free_port()
        command = [self.world.agent, "-C", self.world.repository, "mcp", "runner", "--http", f"127.0.0.1:{port}"]
        with environment.served(command, port, HOME=str(self.world.home), AGENT_TOKEN=TOKEN_VALUE):
            options = ["--http", f"http://127.0.0.1:{port}/mcp", "--token-env", TOKEN]
            self.session("http", self.short(HTTP), *options)

    def play(self):
        # each session, and the rows that it fills, in its order
        steps = [
            (RUNNING, lambda: self.session("command", self.running)),
            (FRESH, lambda: self.session("command", self.fresh)),
            ([ALL_SERVERS], lambda: self.session("edited", self.all_servers, "--edit", "--server", "all")),
            ([PROJECT], lambda: self.session("project", self.short(PROJECT), "--scope", "project", workplace=self.world.repository)),
            ([HTTP], self.over_http),
        ]
        for rows, step in steps:
            try:
                step()
            except Exception as problem:
                self.cells[next((row for row in rows if row not in self.cells), rows[-1])] = Cell(False, "FAILED", str(problem))
        left = self.world.gone(lambda: list(self.world.processes()))
        self.cells[LEFT] = Cell(not left, "FAILED" if left else "none", "; ".join(f"{id} {' '.join(words)}" for id, _, words in left))
        for id, _, _ in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(id, signal.SIGKILL)


def installed(host):
    """The folder of the host's program; npm may have run no script of the package."""
    programs = environment.node(host.package)
    if host.prepare:
        environment.run([programs / "node", host.prepare], programs.parent / host.package.rpartition("@")[0])
    environment.run([programs / host.program, "--version"], **environment.node_environment(programs))
    return programs


def trial(host, agent, verbose):
    """Each row's cell of a host."""
    try:
        programs = installed(host)
    except SystemExit as problem:
        return {row: Cell(False, "not available", str(problem) if row == ROWS[0] else "") for row in ROWS}
    folder = pathlib.Path(tempfile.mkdtemp(prefix="agent-hosts-"))
    try:
        attempt = Trial(host, World(agent, folder), programs, verbose)
        attempt.play()
        return attempt.cells
    except RuntimeError as problem:
        return {ROWS[0]: Cell(False, "FAILED", str(problem))}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def show(table):
    """The table, and below it what was seen where a cell has more to say."""
    rows = [["", *(host.title for host in table)], ["", *(host.package.rpartition("@")[2] for host in table)]]
    rows += [[row, *(cells[row].word if row in cells else "not reached" for cells in table.values())] for row in ROWS]
    widths = [max(map(len, column)) + 2 for column in zip(*rows)]
    for row in rows:
        print("".join(f"{cell:{width}}" for cell, width in zip(row, widths)).rstrip())
    for host, cells in table.items():
        for row, cell in cells.items():
            if cell.seen:
                print(f"\n{host.title}, {row}: {cell.seen[:1500]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("hosts", nargs="*", metavar="HOST", help=", ".join(host.install for host in HOSTS))
    parser.add_argument("--agent", type=pathlib.Path, default=environment.ROOT / "target/debug/agent")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    unknown = set(arguments.hosts) - {host.install for host in HOSTS}
    if unknown:
        parser.error(f"no such host: {', '.join(unknown)}")
    table = {}
    for host in HOSTS:
        if not arguments.hosts or host.install in arguments.hosts:
            print(f"{host.title}...", file=sys.stderr, flush=True)
            table[host] = trial(host, arguments.agent.resolve(), arguments.verbose)
    show(table)
    passed = [host for host, cells in table.items() if all(row in cells and cells[row].good for row in ROWS)]
    print(f"\n{len(passed)} of {len(table)} hosts: every row is as it should be")
    sys.exit(0 if len(passed) == len(table) else 1)


if __name__ == "__main__":
    main()
