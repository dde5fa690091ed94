"""What the everyday commands cost beside another build of `agent`: init, first call, a signal, a promotion, an unchanged tier.

    python3 tests/bench/cost.py BASELINE [--agent target/release/agent] [--rounds 12]

Each round makes a fresh repository with each of the two binaries, whose commands are timed in turn as whole processes; which binary is first alternates.
The table has the median and the minimum of the wall time, and the minimum of the processor time with all descendants, which a busy machine changes least.
A ratio is this build's figure divided by the baseline's.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import tier_throughput

SIGNALS = 3
CALL = ["run", "estimate", "task=review"]


def timed(command, folder, environment):
    """Milliseconds of wall time, and of processor time with all descendants."""
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    if status != 0:
        sys.exit(f"{' '.join(map(str, command))}: status {status}\n{said}")
    return (time.perf_counter() - began) * 1000, (usage.ru_utime + usage.ru_stime) * 1000


def one_round(agent, parent, environment, note):
    folder = parent / "repository"

    def run(name, words, cwd=folder):
        note(name, timed([agent, *words], cwd, environment))

    run("init", ["init", "-q", str(folder)], parent)
    run("first call", CALL)
    run("second call", CALL)
    for number in range(SIGNALS):
        run("tune", ["tune", "-q", "took", f"task=t{number}", "minutes=20"])
        run("promote", ["promote", "-q"])
    timed([agent, "test"], folder, environment)
    run("unchanged tier", ["test"])
    run("tier anew", ["test", "--no-cache"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("baseline", type=pathlib.Path)
    parser.add_argument("--agent", default=tier_throughput.ROOT / "target/release/agent", type=pathlib.Path)
    parser.add_argument("--rounds", default=12, type=int)
    options = parser.parse_args()
    agents = [options.baseline.resolve(), options.agent.resolve()]
    taken = {}
    with tempfile.TemporaryDirectory() as temporary:
        config = pathlib.Path(temporary) / "gitconfig"
        config.write_text("[user]\nname = bench\nemail = bench@localhost\n[init]\ndefaultBranch = main\n")
        environment = {**os.environ, "NO_COLOR": "1", "GIT_CONFIG_GLOBAL": str(config)}
        for turn in range(options.rounds):
            for who in (0, 1) if turn % 2 == 0 else (1, 0):
                with tempfile.TemporaryDirectory(dir=temporary) as parent:
                    note = lambda name, figures, who=who: taken.setdefault(name, ([], []))[who].append(figures)
                    one_round(agents[who], pathlib.Path(parent), environment, note)
    print(f"{'ms':16} {'median':>17} {'ratio':>6} {'minimum':>17} {'ratio':>6} {'processor':>17} {'ratio':>6}")
    for name, sides in taken.items():
        columns = []
        for which, of in ((0, statistics.median), (0, min), (1, min)):
            before, now = (of([figures[which] for figures in side]) for side in sides)
            columns.append(f"{before:8.1f} {now:8.1f} {now / before:6.2f}")
        print(f"{name:16} {' '.join(columns)}")


if __name__ == "__main__":
    main()
