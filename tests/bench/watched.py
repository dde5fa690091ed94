"""What being watched costs: a stdio call and a signal with 20 rules on against none, paired, in one run.

    python3 tests/bench/watched.py [--agent target/release/agent] [--pairs 3000] [--signals 60]

Two repositories from the template `minimal`, alike but for 20 triggers in ci/budgets.json of one, which `agent trigger watch --every 1s` checks meanwhile.
Calls go through `agent mcp runner`, one at a time, to each in turn, and which is first alternates; signals are `agent tune` as whole processes. The table
has the medians, and the mean difference of the pairs with its 95 % interval (of means of 30 pairs, by the normal distribution).
"""

import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

from shim import Server
from tier_throughput import ROOT

RULES = 20
BATCH = 30


def rules():
    drift = [{"name": f"drift-{number}", "type": "drift", "of": "success", "reference": 100 + number} for number in range(9)]
    burn = [{"name": f"burn-{number}", "type": "burn", "objective": "calls-succeed", "min_events": 10 + number} for number in range(9)]
    return [*drift, *burn, {"name": "complaints", "type": "feedback", "window": "1d"}, {"name": "gap", "type": "traffic", "window": "15m"}]


def repository(agent, folder, watched, environment):
    subprocess.run([agent, "init", "-q", folder], check=True, env=environment)
    path = folder / "ci/budgets.json"
    budgets = json.loads(path.read_text())
    if watched:
        budgets["slos"] = [{"name": "calls-succeed", "indicator": {"type": "success"}, "target": 0.99, "window": "28d"}]
        budgets["triggers"] = rules()
        assert len(budgets["triggers"]) == RULES
    path.write_text(json.dumps(budgets, indent=2))


def paired(pairs, act):
    """Milliseconds of `act(0)` and `act(1)`, in turn."""
    took = ([], [])
    for number in range(pairs):
        for which in (0, 1) if number % 2 else (1, 0):
            began = time.perf_counter()
            act(which, number)
            took[which].append((time.perf_counter() - began) * 1000)
    return took


def shown(name, took):
    differences = [one - other for one, other in zip(took[1], took[0])]
    batches = [statistics.fmean(differences[at : at + BATCH]) for at in range(0, len(differences) - BATCH + 1, BATCH)]
    mean = statistics.fmean(batches)
    margin = 1.96 * statistics.stdev(batches) / math.sqrt(len(batches)) if len(batches) > 1 else float("nan")
    medians = [statistics.median(side) for side in took]
    ratio = medians[1] / medians[0]
    print(f"{name:<10} {medians[0]:9.3f} {medians[1]:9.3f} {ratio:8.3f}   {mean:+.4f} ms [{mean - margin:+.4f}, {mean + margin:+.4f}], {len(differences)} pairs")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent", default=ROOT / "target/release/agent", type=pathlib.Path)
    parser.add_argument("--pairs", default=3000, type=int)
    parser.add_argument("--signals", default=60, type=int)
    options = parser.parse_args()
    agent, environment = options.agent.resolve(), os.environ | {"AGENT_SKIP_HOOKS": "1"}
    with tempfile.TemporaryDirectory(prefix="agent-bench-") as parent:
        folders = [pathlib.Path(parent) / name for name in ("plain", "watched")]
        for folder in folders:
            repository(agent, folder, folder.name == "watched", environment)
        watch = subprocess.Popen([agent, "-q", "trigger", "watch", "--every", "1s"], cwd=folders[1], env=environment, stderr=subprocess.DEVNULL)
        servers = [Server([agent, "mcp", "runner"], folder, environment).greet() for folder in folders]
        paired(200, lambda which, number: servers[which].call("estimate", {"task": "warm up"}))
        calls = paired(options.pairs, lambda which, number: servers[which].call("estimate", {"task": f"t{number % 50}"}))
        for server in servers:
            server.end()

        def tune(which, number):
            subprocess.run([agent, "-q", "tune", "took", f"task=t{number}", "minutes=20"], cwd=folders[which], env=environment, check=True)

        signals = paired(options.signals, tune)
        assert watch.poll() is None, "the watch ended"
        watch.terminate()
        watch.wait()
    print(f"medians in ms     none  {RULES} rules    ratio   mean difference [95 % interval]")
    shown("a call", calls)
    shown("a signal", signals)


main()
