"""An unchanged tier of 10,000 cases run again, beside `git status` on the same tree; then one key of the state changed, beside the cases that read it alone.

    python3 tests/bench/unchanged.py [--agent target/release/agent] [--cases 10000] [--rounds 7]

Whole commands, in turn; medians. Of ten keys of the state, each is read by a tenth of the cases.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import tier_throughput

KEYS = 10
RUNNER = """
from agent_runtime import Server, state

server = Server("bench")

@server.tool
def same(number: int) -> int:
    \"\"\"The number itself.\"\"\"
    return number + 0 * state()[f"k{number % KEYS}"]

server.run()
""".replace("KEYS", str(KEYS))


def write_state(folder, third):
    state = {f"k{key}": third if key == 3 else 1 for key in range(KEYS)}
    (folder / "state/active.state.json").write_text(json.dumps(state, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent", default=tier_throughput.ROOT / "target/release/agent", type=pathlib.Path)
    parser.add_argument("--cases", default=10_000, type=int)
    parser.add_argument("--rounds", default=7, type=int)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        tier_throughput.make_repository(folder, options.cases)
        (folder / "runner/__main__.py").write_text(RUNNER)
        (folder / ".gitignore").write_text(".agent/\n__pycache__/\n")
        write_state(folder, 1)
        subprocess.run(["git", "add", "-A"], cwd=folder, check=True)
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "bench"], cwd=folder, check=True)

        def timed(command, expected=None):
            started = time.perf_counter()
            done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, check=True, env={**os.environ, "AGENT_PYTHON": sys.executable})
            seconds = time.perf_counter() - started
            if expected is not None:
                summary = json.loads(done.stdout)["tiers"]["micro"]
                assert summary["passed"] == options.cases and summary["cached"] == expected, summary
            return seconds * 1000

        test = [options.agent.resolve(), "test", "--json"]
        first = timed(test, 0)
        times = {name: [] for name in ("git status", "unchanged", "one key changed", "these cases alone")}
        # the same cases in a repository that has no others, with nothing known
        few = folder / "few"
        few.mkdir()
        tier_throughput.make_repository(few, options.cases)
        (few / "runner/__main__.py").write_text(RUNNER)
        write_state(few, 1)
        readers = [line for number, line in enumerate((few / "tests/micro/cases.jsonl").read_text().splitlines()) if number % KEYS == 3]
        (few / "tests/micro/cases.jsonl").write_text("\n".join(readers) + "\n")
        (folder / ".git/info/exclude").write_text("few/\n")
        for turn in range(options.rounds):
            times["git status"].append(timed(["git", "status", "--porcelain"]))
            times["unchanged"].append(timed(test, options.cases))
            write_state(folder, turn + 2)
            times["one key changed"].append(timed(test, options.cases - len(readers)))
            alone = [options.agent.resolve(), "-C", few, "test", "--no-cache", "--json"]
            times["these cases alone"].append(timed(alone))
    print(f"{'all cases, first':20} {first:8.1f} ms")
    for name, taken in times.items():
        print(f"{name:20} {statistics.median(taken):8.1f} ms  {statistics.median(taken) / statistics.median(times['git status']):6.1f} times git status")


if __name__ == "__main__":
    main()
