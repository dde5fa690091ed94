"""`agent versions diff` and `agent bisect` over a long history, from what is stored: whole processes, warm, the median of several.

    cargo build --release && python3 tests/bench/history.py [--agent PATH] [--versions 1000] [--cases 1000]

Makes a repository of so many versions (real commits with trailers and tags, by `git fast-import`), each with so many stored results, in which one case
breaks at two thirds of the way. Beside the two verbs stands `git log --oneline` over the same history. The bar is a second for each.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = 'schema = "agent/manifest@1"\nname = "history"\n[runner]\ncommand = ["false"]\n'
BAR_S = 1.0


def run(command: list[str], folder: Path, stdin: bytes | None = None, code: int = 0) -> str:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    ended = subprocess.run(command, cwd=folder, env=environment, input=stdin, capture_output=True)
    if ended.returncode != code:
        sys.exit(f"{' '.join(command)}: exit {ended.returncode}\n{ended.stdout.decode()}{ended.stderr.decode()}")
    return ended.stdout.decode()


def state(number: int) -> bytes:
    return json.dumps({"number": number}, indent=2).encode() + b"\n"


def blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def results(number: int, cases: int, broken_from: int) -> bytes:
    """A tier's results in the form they are stored in, by case id."""
    lines = []
    for case in range(cases):
        passed = number < broken_from if case == cases // 2 else (case * 7919 + number) % 10 != 0
        result = {
            "schema": "agent/event@1", "event": "case-finished", "tier": "micro", "id": f"case-{case:05}",
            "outcome": "passed" if passed else "failed", "score": 1.0 if passed else 0.25, "weight": 1.0, "ms": 1.5,
        }
        if not passed:
            result["why"] = "$.answer: expected 1, got 2"
        lines.append(json.dumps({**result, "place": f"tests/micro/cases.jsonl:{case + 1}"}, separators=(",", ":")))
    return ("\n".join(lines) + "\n").encode()


def evaluation(lines: bytes, revision: str, cases: int) -> dict:
    passed = lines.count(b'"outcome":"passed"')
    micro = {
        "cases": cases, "passed": passed, "failed": cases - passed, "errored": 0, "flaky": 0, "cached": 0,
        "score": 0.5, "p50_ms": 1.5, "p95_ms": 1.5, "wall_s": 1.5, "budget": {}, "verdict": "pass",
        "results": "sha256:" + hashlib.sha256(lines).hexdigest(),
    }
    return {
        "schema": "agent/eval@1", "commit": None, "tree": None, "state": revision, "tiers": {"micro": micro},
        "comparable_with": [], "definitions": {"cases": {"micro": "sha256:cases"}},
    }


def message(number: int, revision: str, evaluated: dict) -> bytes:
    kind = "promotion" if number else "release"
    digest = "sha256:" + hashlib.sha256(canonical(evaluated).encode()).hexdigest()
    trailers = f"Agent-Kind: {kind}\nAgent-Version: 0.1.{number}\nAgent-State: {revision}\nAgent-Eval: {digest}\nAgent-Contract: sha256:same\n"
    return f"version {number}\n\n{trailers}".encode()


def data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)


def build(folder: Path, versions: int, cases: int, broken_from: int) -> None:
    run(["git", "init", "--quiet", "--initial-branch=main", "."], folder)
    stream, evaluated, stored = [], [], []
    for number in range(versions):
        lines = results(number, cases, broken_from)
        revision = blob_id(state(number))
        evaluated.append(evaluation(lines, revision, cases))
        stored.append(lines)
        commit = b"commit refs/heads/active\nmark :%d\ncommitter bench <bench@localhost> %d +0000\n" % (number + 1, 1_700_000_000 + number)
        commit += data(message(number, revision, evaluated[-1]))
        if number == 0:
            commit += b"M 100644 inline agent.toml\n" + data(MANIFEST.encode())
        commit += b"M 100644 inline state/active.state.json\n" + data(state(number))
        stream.append(commit + b"reset refs/tags/v0.1.%d\nfrom :%d\n\n" % (number, number + 1))
    run(["git", "fast-import", "--quiet", "--export-marks=marks"], folder, b"".join(stream))
    for line in (folder / "marks").read_text().splitlines():
        mark, commit = line.split()
        index = int(mark[1:]) - 1
        place = folder / ".agent/store/evals" / commit
        place.mkdir(parents=True)
        (place / "micro.jsonl").write_bytes(stored[index])
        (place / "summary.json").write_text(json.dumps({**evaluated[index], "commit": commit}))
    run(["git", "pack-refs", "--all"], folder)


def median(command: list[str], folder: Path, rounds: int) -> float:
    def once() -> float:
        began = time.perf_counter()
        run(command, folder)
        return time.perf_counter() - began

    once()
    return statistics.median(once() for _ in range(rounds))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--agent", type=Path, default=ROOT / "target/release/agent")
    arguments.add_argument("--versions", type=int, default=1000)
    arguments.add_argument("--cases", type=int, default=1000)
    arguments.add_argument("--rounds", type=int, default=7)
    options = arguments.parse_args()
    agent = str(options.agent.resolve())
    broken_from = options.versions * 2 // 3
    case = f"case-{options.cases // 2:05}"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        build(folder, options.versions, options.cases, broken_from)
        diff = [agent, "versions", "diff", "v0.1.0", f"v0.1.{options.versions - 1}", "--json"]
        bisect = [agent, "bisect", case, "--json"]
        compared = json.loads(run(diff, folder))["tiers"][0]["cases"]["pairs"]
        found = json.loads(run(bisect, folder))
        if compared != options.cases or found["bad"]["version"] != f"0.1.{broken_from}":
            sys.exit(f"wrong: {compared} pairs, bad is {found['bad']}")
        baseline = median(["git", "log", "--oneline", "active"], folder, options.rounds)
        print(f"{options.versions:,} versions, {options.versions * options.cases:,} stored results")
        print(f"git log --oneline       {baseline * 1000:8.1f} ms   1.0")
        for name, command in (("agent versions diff", diff), ("agent bisect", bisect)):
            seconds = median(command, folder, options.rounds)
            verdict = "" if seconds < BAR_S else f"   above the bar of {BAR_S} s"
            print(f"{name:<22}  {seconds * 1000:8.1f} ms   {seconds / baseline:.1f}{verdict}")
        print(f"bisect looked at {len(found['looked'])} versions")


if __name__ == "__main__":
    main()
