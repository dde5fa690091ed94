"""The official conformance suite of MCP against `agent mcp runner --http` in front of the official everything-server, whose own wire is stdio.

    python3 tests/hosts/conformance.py [--agent target/release/agent] [--peers] [--only 2026-07-28] [--verbose]

The scenarios are those a revision requires, as the suite has them frozen. With --peers the gateways people use today are put in agent's place. Exits 1
when agent fails one.
"""

import argparse
import pathlib
import re
import subprocess
import os
import sys

import environment
import gateways

SUITE = "@modelcontextprotocol/conformance@0.2.0-alpha.12"
REVISIONS = {"2025-11-25": 30, "2026-07-28": 37}


def scenarios(url, revision, programs, verbose):
    """What each required scenario came to: its name, and whether it passed."""
    command = [programs / "conformance", "server", "--url", url, "--requirements", revision]
    folder = environment.FOLDER / "results" / revision
    command += ["--output-dir", folder]
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **environment.node_environment(programs)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if verbose:
        print(done.stdout)
    _, _, summary = done.stdout.partition("=== SUMMARY ===")
    all_of_them = dict((name, mark == "✓") for mark, name in re.findall(r"^(✓|✗) ([\w-]+):", summary, re.MULTILINE))
    extra = set(re.findall(r"^  [✓✗] ([\w-]+) \(", summary, re.MULTILINE))
    required = {name: passed for name, passed in all_of_them.items() if name not in extra}
    more = {name: passed for name, passed in all_of_them.items() if name in extra and not name.startswith("tasks-")}
    if len(required) != REVISIONS[revision]:
        sys.exit(f"the suite ran {len(required)} scenarios of {REVISIONS[revision]}:\n{done.stdout[-3000:]}")
    return required, more


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent", type=pathlib.Path, default=environment.ROOT / "target/release/agent")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--only", choices=REVISIONS)
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    agent = arguments.agent.resolve()
    programs = environment.node(SUITE)
    server = environment.everything_server()
    revisions = [arguments.only] if arguments.only else list(REVISIONS)
    print(f"{'':14}" + "".join(f"{revision:>16}" for revision in revisions) + "   failed")
    good = True
    for name in gateways.NAMES if arguments.peers else gateways.NAMES[:1]:
        line, failed, beyond = f"{name:14}", [], []
        for revision in revisions:
            try:
                # each gateway is started in the way that does better
                with gateways.served(name, agent, server, "everything", stateful=revision < "2026") as (url, _):
                    required, more = scenarios(url, revision, programs, arguments.verbose)
            except environment.NotServed as problem:
                required, more = {f"all: {problem}": False}, {}
            passed = sum(required.values())
            line += f"{passed:>13}/{REVISIONS[revision]}"
            failed += [f"{revision}:{scenario}" for scenario, passed in required.items() if not passed]
            beyond += [f"{scenario} {'passed' if passed else 'failed'}" for scenario, passed in more.items()]
        print(line + "   " + (", ".join(failed) or "-"), flush=True)
        if name == "agent":
            print(f"{'':14}not scored: {', '.join(beyond)}", flush=True)
            good = not failed
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
