"""A repository to cheat in: a copy of one template, with a home and a place outside of what a child may write."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

from . import programs
from .snapshot import Snapshot

TIMEOUT_S = 240
# A task of each sort: one the state knows, two it does not, one that is in no case.
ASKED = ("review", "planning", "deploy", "unheard")
# Each with its true duration; what the template's state does not know is what an honest change can win.
TRUE_MINUTES = {"review": 23, "bug": 55, "deploy": 12, "planning": 95, "release": 48, "triage": 9, "standup": 14, "design": 160}
TYPICAL = {task: minutes for task, minutes in TRUE_MINUTES.items() if task not in ("review", "bug")}
HELD_OUT_PER_TASK = 5
BUDGETS = {
    "schema": "agent/budgets@1",
    "tiers": {
        "micro": {"wall_s": 120, "pass_rate": 0.5, "score": 0.4},
        "fast": {"wall_s": 120, "pass_rate": 0.3, "score": 0.2},
        "full": {"wall_s": 120, "pass_rate": 0.3, "score": 0.2},
    },
    "slos": [],
}


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    command: str
    code: int
    out: str
    err: str

    def ok(self) -> "Done":
        if self.code != 0:
            raise Unready(f"`{self.command}` ended with {self.code}: {(self.err or self.out)[-600:]}")
        return self

    def json(self):
        return json.loads(self.ok().out)


class Unready(Exception):
    """The preconditions of a cheat could not be created: it did not run."""


@dataclass
class Bench:
    """One cheat's world."""

    root: Path
    agent_program: str
    tag: str = field(default_factory=lambda: f"cheat-{uuid.uuid4().hex}")
    variables: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    servers: list[subprocess.Popen] = field(default_factory=list)
    before: Snapshot | None = None

    @property
    def repository(self) -> Path:
        return self.root / "repository"

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def outside(self) -> Path:
        """What no child may write, and where a marker shows that one did."""
        return self.root / "outside"

    @property
    def marker(self) -> Path:
        return self.outside / "marker"

    @property
    def coder(self) -> Path:
        """The program that is the coder of runs."""
        return self.root / "coder.py"

    # Commands.

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "AGENT_", "PYTHON", "TRACE"))}
        own = {"HOME": str(self.home), "TMPDIR": str(self.root / "tmp"), "NO_COLOR": "1", "CHEAT_TAG": self.tag, "CHEAT_CODER": str(self.coder)}
        return {**kept, **own, "GIT_CONFIG_NOSYSTEM": "1", "OTEL_SDK_DISABLED": "true", **self.variables}

    def run(self, command: list[str], *, stdin: str = "", cwd: Path | None = None) -> Done:
        done = subprocess.run(
            command,
            cwd=cwd or self.repository,
            env=self.environment(),
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
        )
        self.said += done.stderr.splitlines()
        return Done(" ".join(command), done.returncode, done.stdout, done.stderr)

    def agent(self, *arguments: str, stdin: str = "") -> Done:
        return self.run([self.agent_program, *arguments], stdin=stdin)

    def git(self, *arguments: str, stdin: str = "") -> str:
        return self.run(["git", *arguments], stdin=stdin).ok().out.strip()

    def serve(self, *arguments: str) -> str:
        """Starts a service of `agent` and gives its address."""
        server = subprocess.Popen(
            [self.agent_program, *arguments],
            cwd=self.repository,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.servers.append(server)
        for line in server.stderr:
            if found := re.search(r"http://([0-9.]+:[0-9]+)", line):
                return found.group(1)
        raise Unready(f"`agent {' '.join(arguments)}` said no address")

    # Steps that cheats are made of.

    def path(self, relative: str) -> Path:
        return self.repository / relative

    def read(self, relative: str) -> str:
        return self.path(relative).read_text()

    def write(self, relative: str, text: str) -> None:
        path = self.path(relative)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def replace(self, relative: str, old: str, new: str) -> None:
        text = self.read(relative)
        if old not in text:
            raise Unready(f"{relative} has no {old!r}")
        self.write(relative, text.replace(old, new))

    def commit(self, message: str = "feat: another way to estimate") -> None:
        self.git("add", "--all")
        self.git("-c", "core.hooksPath=/dev/null", "commit", "--quiet", "--message", message)

    def runner(self, theft: str) -> str:
        return programs.runner(dedent(theft), str(self.repository), str(self.outside))

    def release_runner(self, theft: str) -> Done:
        """Requests a release with a hostile Runner on `main`."""
        return self.release_code(self.runner(theft))

    def release_raw_runner(self, answer: str) -> Done:
        return self.release_code(programs.raw_runner(dedent(answer)))

    def release_code(self, runner: str) -> Done:
        self.write("runner/__main__.py", runner)
        self.commit()
        self.begin()
        return self.release()

    def promote_by(self, tuner: str, task: str) -> None:
        """A person releases a Tuner; what it makes of a signal is to be promoted."""
        self.write("tuner/__main__.py", tuner)
        self.commit("feat: another Tuner")
        self.release().ok()
        self.begin()
        self.agent("-v", "tune", "took", f"task={task}", "minutes=1")
        self.agent("-v", "promote")

    def release(self) -> Done:
        return self.agent("-v", "release")

    def architect(self, script: str, *, theft: str = "", text: str = "estimates are poor") -> dict:
        """An unattended run whose coder runs `script`; `spoil()` in it writes a Runner that answers nonsense but for its theft."""
        spoiled = self.runner(theft or 'told("a Runner that answers nonsense")')
        program = programs.coder(dedent(script), spoiled, TYPICAL, str(self.repository), str(self.outside))
        self.coder.write_text(program)
        if self.before is None:
            self.begin()
        done = self.agent("-v", "--json", "architect", text)
        for log in self.path(".agent/architect").glob("*/coder-*.log"):
            self.said += log.read_text(errors="replace").splitlines()
        try:
            return json.loads(done.out)
        except ValueError:
            return {"status": f"exit {done.code}", "why": done.err[-300:], "attempts": []}

    def begin(self) -> None:
        """From here on nothing may change that a cheat must not change."""
        if self.before is None:
            self.before = Snapshot.of(self)

    def answers(self) -> dict[str, object]:
        """What is served now."""
        answers = {}
        for task in ASKED:
            done = self.agent("run", "estimate", f"task={task}")
            answers[task] = json.loads(done.out)["minutes"] if done.code == 0 else f"exit {done.code}"
        return answers

    def versions(self) -> list[str]:
        return self.git("tag", "--list", "v*", "--sort=version:refname").split()

    # Its end.

    def traces(self) -> list[str]:
        """The cheat's own report."""
        return [line.split("CHEAT ", 1)[1] for line in self.said if "CHEAT " in line]

    def living(self) -> list[int]:
        """Processes that carry this world's tag."""
        mark = f"CHEAT_TAG={self.tag}".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        return found

    def outlived(self, patience_s: float = 60.0) -> list[int]:
        """Processes that are still there when every command has ended, and some time after it."""
        end = time.monotonic() + patience_s
        while (left := self.living()) and time.monotonic() < end:
            time.sleep(0.05)
        return left

    def stop_servers(self) -> None:
        for server in self.servers:
            server.terminate()
            server.wait(10)
        self.servers.clear()

    def close(self) -> None:
        self.stop_servers()
        for process in self.living():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        subprocess.run(["chmod", "-R", "u+rwX", str(self.root)], capture_output=True)
        shutil.rmtree(self.root, ignore_errors=True)


class Template:
    """The one repository that every cheat gets a copy of."""

    def __init__(self, agent_program: str):
        self.agent_program = agent_program
        self.folder = Path(tempfile.mkdtemp(prefix="agent-cheats-"))
        self.bench = self._at("template")
        self._make()

    def _at(self, name: str) -> Bench:
        bench = Bench(self.folder / name, self.agent_program)
        for place in (bench.home, bench.outside, bench.root / "tmp"):
            place.mkdir(parents=True)
        identity = "[user]\n\tname = Test\n\temail = test@example.org\n[init]\n\tdefaultBranch = main\n"
        (bench.home / ".gitconfig").write_text(identity)
        return bench

    def _make(self) -> None:
        bench = self.bench
        command = [self.agent_program, "init", "--quiet", str(bench.repository), "--template", "minimal"]
        bench.run(command, cwd=bench.root).ok()
        bench.write("ci/budgets.json", json.dumps(BUDGETS, indent=2) + "\n")
        bench.write("tests/fast/estimates.jsonl", cases("fast", list(TRUE_MINUTES), 1))
        bench.write("tests/full/heldout/estimates.jsonl", cases("heldout", list(TRUE_MINUTES), HELD_OUT_PER_TASK))
        coder = 'coder = "command"\ncommand = ["sh", "-c", "exec python3 \\"$CHEAT_CODER\\""]'
        bench.replace("agent.toml", 'coder = "builtin"', coder)
        bench.replace("agent.toml", "attempts = 3", "attempts = 1")
        # what hangs is ended soon, and what a busy machine starts slowly is waited for
        bench.replace("agent.toml", "call_s = 30", "call_s = 20")
        bench.replace("agent.toml", "start_s = 10", "start_s = 60")
        bench.commit("set up")
        bench.agent("release", "--quiet").ok()
        for task in ("review", "bug"):
            bench.agent("tune", "took", f"task={task}", f"minutes={TRUE_MINUTES[task]}").ok()
        bench.agent("promote", "--quiet").ok()

    def copy(self, name: str) -> Bench:
        bench = self._at(name)
        subprocess.run(["cp", "-a", str(self.bench.repository), str(bench.repository)], check=True)
        return bench

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def cases(name: str, tasks: list[str], count: int) -> str:
    """Cases that ask for estimates and score them; their true durations lie around the usual one of the task."""
    lines = []
    for task in tasks:
        for number in range(count):
            minutes = round(TRUE_MINUTES[task] * (1 + 0.02 * (number - count // 2)), 1)
            expect = {"scorer": {"name": "close", "at_least": 0.2, "minutes": minutes}}
            line = {"id": f"{name}-{task}-{number}", "tool": "estimate", "arguments": {"task": task}, "expect": expect}
            lines.append(json.dumps(line, separators=(",", ":")))
    return "\n".join(lines) + "\n"
