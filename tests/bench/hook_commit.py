"""What our pre-commit hook costs a `git commit` whose result is known, against a hook that is an empty shell script.

    cargo build --release && python3 tests/bench/hook_commit.py [--agent PATH] [--commits N]

Every round commits once with each hook, in the same repository and in turn, so that a busy machine is equally busy for all of them. Other hook
managers join in when they are on PATH, each with one hook that runs `true`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PRE_COMMIT = """repos:
  - repo: local
    hooks:
      - {id: nothing, name: nothing, entry: "true", language: system, always_run: true, pass_filenames: false}
"""
LEFTHOOK = "pre-commit:\n  jobs:\n    - run: 'true'\n"


def run(command: list[str], folder: Path, **environment: str) -> str:
    ended = subprocess.run(command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True)
    if ended.returncode:
        sys.exit(f"{' '.join(command)}: exit {ended.returncode}\n{ended.stdout}{ended.stderr}")
    return ended.stderr


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path.parent


def others(folder: Path) -> dict[str, Path]:
    """The hook managers that are installed, each with a hooks folder of its own."""
    found = {}
    (folder / ".pre-commit-config.yaml").write_text(PRE_COMMIT)
    (folder / "lefthook.yml").write_text(LEFTHOOK)
    for name, arguments in [("prek", "hook-impl --hook-type=pre-commit --"), ("pre-commit", "hook-impl --hook-type=pre-commit --"), ("lefthook", "run pre-commit")]:
        if program := shutil.which(name):
            extra = f" --config=.pre-commit-config.yaml --hook-dir {folder}" if name == "pre-commit" else ""
            words = arguments.replace(" --", f"{extra} --", 1) if extra else arguments
            found[name] = script(folder / ".hooks" / name / "pre-commit", f'#!/bin/sh\nexec {program} {words} "$@"\n')
    return found


def commit(folder: Path, hooks: Path, environment: dict[str, str]) -> float:
    began = time.perf_counter()
    said = run(["git", "-c", f"core.hooksPath={hooks}", "commit", "--quiet", "--allow-empty", "--message", "x"], folder, **environment)
    elapsed = time.perf_counter() - began
    if "left to the server" in said:
        sys.exit(f"the result was not in the cache: {said}")
    return elapsed * 1000


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--agent", type=Path, default=ROOT / "target/release/agent")
    arguments.add_argument("--commits", type=int, default=60)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "repository"
        identity = {f"GIT_{role}_{what}": "bench@localhost" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        environment = {**identity, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
        run([str(options.agent.resolve()), "init", str(folder)], Path(temporary), **environment)
        hooks = {
            "empty script": script(folder / ".hooks/empty/pre-commit", "#!/bin/sh\n"),
            "agent, known result": folder / ".githooks",
            **others(folder),
        }
        run(["git", "add", "--force", ".githooks"], folder, **environment)
        # the first run of a tree is the one that is then known
        commit(folder, hooks["agent, known result"], {**environment, "AGENT_HOOK_LIMIT": "60"})
        times: dict[str, list[float]] = {name: [] for name in hooks}
        for _ in range(options.commits):
            for name, place in hooks.items():
                times[name].append(commit(folder, place, {**environment, "AGENT_HOOK_LIMIT": "0"} if name.startswith("agent") else environment))
        report(times)


def report(times: dict[str, list[float]]) -> None:
    baseline = times["empty script"]
    print(f"git commit, median of {len(baseline)} in turn, and the median difference within a round:")
    for name, measured in times.items():
        differences = [one - other for one, other in zip(measured, baseline)]
        median = statistics.median(measured)
        print(f"  {name:22} {median:7.1f} ms  {median / statistics.median(baseline):5.2f} x  {statistics.median(differences):+7.1f} ms")


if __name__ == "__main__":
    main()
