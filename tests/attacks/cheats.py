"""Cheats against `agent`: python3 tests/attacks/cheats.py [--quick | --list] [--traces] [NAME...]

A NAME is a cheat, or the beginning of one (`in_process`, `coder.reads`). Each cheat prints a line: name, HELD or FELL or DID NOT RUN, seconds, what was
seen. The end is a summary, and exit code 1 when one fell, one did not run, or a control did not end as a control must.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from harness.bench import Template
from harness.cheat import Cheat, Outcome, Result
from harness.judge import carry_out
from kinds import CHEATS

# A cheat starts processes of its own; more than two at once only wait for each other.
AT_ONCE = 2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these, or those that begin so")
    parser.add_argument("--quick", action="store_true", help="only the few that `cargo test` runs")
    parser.add_argument("--list", action="store_true", help="say what there is, and run nothing")
    parser.add_argument("--traces", action="store_true", help="show all that each cheat told of itself")
    arguments = parser.parse_args()
    chosen = choose(arguments.names, arguments.quick)
    if arguments.list:
        for cheat in chosen:
            print(f"{cheat.name:<42} {cheat.tries}")
        return 0
    if not chosen:
        print("no cheat has such a name; --list shows them", file=sys.stderr)
        return 2
    return summary(run(chosen, arguments.traces))


def choose(names: list[str], quick: bool) -> list[Cheat]:
    named = [cheat for cheat in CHEATS if not names or any(cheat.name.startswith(name) for name in names)]
    return [cheat for cheat in named if cheat.quick or not quick]


def run(cheats: list[Cheat], traces: bool) -> list[Result]:
    program = shutil.which("agent")
    if program is None:
        sys.exit("agent is not on PATH")
    template = Template(os.path.realpath(program))
    results = []
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for result in pool.map(lambda cheat: carry_out(cheat, template), cheats):
                print(result.line(), *(f"    {trace}" for trace in dict.fromkeys(result.traces) if traces), sep="\n", flush=True)
                results.append(result)
    finally:
        template.close()
    return results


def summary(results: list[Result]) -> int:
    counts = {outcome: sum(result.outcome is outcome for result in results) for outcome in Outcome}
    controls = sum(result.cheat.expected is not Outcome.HELD for result in results)
    wrong = [result for result in results if not result.is_right]
    print(f"\n{len(results) - controls} cheats and {controls} controls: " + ", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    for result in wrong:
        print(f"wrong: {result.cheat.name} ended {result.outcome}, {result.cheat.expected} is right")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
