"""One of many signals is taken back: the last, one of the middle, the first.

    just bench-withdraw [--signals 100000]

The signals are of 20 kinds of tasks (template `minimal`): what follows one depends on it until
the mean of its kind agrees again, which floating-point numbers may never do. The state is compared
byte by byte with that of a repository that was never sent the three. The baseline is a copy of the
Journal, line by line in Python.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from peers_in_python import add_json, write_json

ROOT = Path(__file__).resolve().parents[2]
KINDS = 20


def signals(count, without=()):
    for number in range(count):
        if number not in without:
            arguments = {"task": f"kind-{number % KINDS}", "minutes": 1 + number % 97}
            yield json.dumps({"id": f"s-{number}", "tool": "took", "arguments": arguments})


class Repository:
    def __init__(self, agent, folder):
        self.agent, self.folder = str(Path(agent).resolve()), folder
        self.run("init", str(folder), cwd=folder.parent)

    def run(self, *arguments, cwd=None, given=None):
        done = subprocess.run(
            [self.agent, *arguments],
            cwd=cwd or self.folder,
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise SystemExit(f"agent {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def tune(self, lines):
        began = time.perf_counter()
        self.run("tune", "--signals", "-", given="\n".join(lines) + "\n")
        return time.perf_counter() - began

    def state(self):
        return (self.folder / "state/staging.state.json").read_bytes()

    def withdraw(self, number):
        began = time.perf_counter()
        report = self.run("feedback", "withdraw", f"s-{number}", "--json")
        return time.perf_counter() - began, json.loads(report)["replayed"]

    def copy_of_the_journal(self):
        journal = self.folder / ".agent/journal/current.jsonl"
        began = time.perf_counter()
        with journal.open() as lines, (self.folder.parent / "copy").open("w") as copy:
            for line in lines:
                if line.startswith("{"):
                    copy.write(json.dumps(json.loads(line)) + "\n")
        return time.perf_counter() - began


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--agent", default=str(ROOT / "target/release/agent"))
    arguments.add_argument("--signals", type=int, default=100_000)
    add_json(arguments)
    options = arguments.parse_args()
    count = options.signals
    taken = {"the last": count - 1, "in the middle": count // 2, "the first": 0}
    folder = Path(tempfile.mkdtemp(prefix="agent-bench-"))
    try:
        repository = Repository(options.agent, folder / "a")
        tuned = repository.tune(signals(count))
        print(f"{count} signals in {tuned:.1f} s ({1000 * tuned / count:.3f} ms each)")
        print(f"the Journal copied line by line: {repository.copy_of_the_journal():.2f} s")
        print(f"{'taken back':>16} {'seconds':>8} {'replayed':>9}")
        took = {}
        for name, number in taken.items():
            took[name], replayed = repository.withdraw(number)
            print(f"{name:>16} {took[name]:>8.2f} {replayed:>9}")
        never = Repository(options.agent, folder / "never")
        never.tune(signals(count, set(taken.values())))
        same = repository.state() == never.state()
        print(f"the state of a repository that never had them: {'the same bytes' if same else 'OTHER'}")
        write_json(options.json, {"signals": count, "seconds": took, "same_bytes": same})
        if not same:
            raise SystemExit(1)
    finally:
        shutil.rmtree(folder)


main()
