"""`agent verify --all` over many versions with many case results: seconds and peak memory as the history grows.

    python3 tests/bench/verify.py [--agent target/release/agent] [--versions 1000] [--cases 1000] [--sizes 4] [--rounds 3]

The versions are real: one release, then one promotion after another, each with its own results, gate record, Journal and entry of the ledger.
At each size the command runs several times as a whole process; the figures are the median time and the highest peak. Beside it, over the same
repository, stand `git fsck --full` and SHA-256 over every file of the object store: what reading all of it once costs.
"""

import argparse
import hashlib
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import tier_throughput

RUNNER = """
from agent_runtime import Server, state

server = Server("bench")

@server.tool
def same(number: int) -> int:
    \"\"\"The number itself.\"\"\"
    return number + 0 * state()["version"]

server.run()
"""


def run(command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def make_repository(folder, cases, agent):
    tier_throughput.make_repository(folder, cases, RUNNER)
    manifest = (folder / "agent.toml").read_text()
    (folder / "agent.toml").write_text(manifest + '[release]\ntier = "micro"\n')
    (folder / "state/active.state.json").write_text('{"version": 0}\n')
    (folder / ".gitignore").write_text(".agent/\n__pycache__/\n")
    for setting in ("user.name=bench", "user.email=bench@localhost"):
        run(["git", "config", *setting.split("=")], folder)
    run(["git", "add", "-A"], folder)
    run(["git", "commit", "-qm", "bench"], folder)
    run([agent, "release", "-q"], folder)


def promote(folder, agent, number):
    run([agent, "state", "set", "-q", f"version={number}"], folder)
    run([agent, "promote", "-q"], folder)


def measured(command, folder):
    """Seconds and peak memory in MB of one process."""
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if status != 0:
        sys.exit(f"{' '.join(map(str, command))}: status {status}")
    return seconds, usage.ru_maxrss / 1000


def read_once(folder):
    """Seconds that git needs to check its objects, and SHA-256 over the object store."""
    began = time.perf_counter()
    run(["git", "fsck", "--full"], folder)
    for path in (folder / ".agent/store").rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                hashlib.file_digest(file, "sha256")
    return time.perf_counter() - began


def figures(folder, agent, versions, options):
    subject = [agent, "verify", "--all", "-q"]
    seconds, peaks = zip(*(measured(subject, folder) for _ in range(options.rounds)))
    baseline = statistics.median(read_once(folder) for _ in range(options.rounds))
    return versions, versions * options.cases, statistics.median(seconds), max(peaks), baseline


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent", default=tier_throughput.ROOT / "target/release/agent", type=pathlib.Path)
    parser.add_argument("--versions", default=1000, type=int)
    parser.add_argument("--cases", default=1000, type=int)
    parser.add_argument("--sizes", default=4, type=int)
    parser.add_argument("--rounds", default=3, type=int)
    options = parser.parse_args()
    agent = options.agent.resolve()
    sizes = {options.versions * part // options.sizes for part in range(1, options.sizes + 1)}
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        make_repository(folder, options.cases, agent)
        print(f"{'versions':>8} {'results':>9} {'seconds':>8} {'peak MB':>8} {'us a result':>12} {'read once':>10} {'ratio':>6}")
        for number in range(1, options.versions + 1):
            if number in sizes:
                versions, results, seconds, peak, baseline = figures(folder, agent, number, options)
                per_result = seconds / results * 1e6
                print(f"{versions:>8} {results:>9} {seconds:>8.2f} {peak:>8.1f} {per_result:>12.2f} {baseline:>9.2f}s {seconds / baseline:>5.2f}x", flush=True)
            if number < options.versions:
                promote(folder, agent, number)


main()
