"""What benchmarks of templates share: an environment with Python packages, their figures as a file,
and what a template's processes cost beside those of a peer.
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

ROOT = pathlib.Path(__file__).resolve().parents[2]
PINNED = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
RUNS = 3
TUNES = 5
QUICK_S = 1  # the first signal of a Tuner, from a cold start
PROBE = """
import time
start = time.perf_counter()
import {module}
seconds = time.perf_counter() - start
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(seconds, int(status["VmRSS"].split()[0]) / 1024)
"""


def environment(packages: list[str], folder: pathlib.Path) -> pathlib.Path:
    """The interpreter of an environment with these packages of PyPI, made in the folder once."""
    place = folder.resolve() / "environment"
    done = place / "installed"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        command = [place / "bin/pip", "install", "--quiet", "--only-binary", ":all:", *packages]
        subprocess.run(command, check=True)
        done.touch()
    return place / "bin/python"


def run_with(packages: list[str], folder: pathlib.Path) -> None:
    """Runs the program again in the environment with these packages.

    Returns where the program runs in it already.
    """
    python = environment(packages, folder)
    if pathlib.Path(sys.prefix).resolve() == python.parents[1].resolve():
        return
    sys.exit(subprocess.run([python, *sys.argv], env={**os.environ, **PINNED}).returncode)


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option for a file of the figures, which yardsticks.py reads."""
    parser.add_argument("--json", type=pathlib.Path, help="a file for the figures")


def write_json(file: pathlib.Path | None, figures: dict) -> None:
    if file is not None:
        file.write_text(json.dumps(figures, indent=1) + "\n")


def import_costs(template: pathlib.Path, modules: list[str]) -> dict[str, tuple[float, float]]:
    """By module: the seconds of its import, and the memory of a process that has it in MiB.

    The best of a few runs. Modules are the template's, or others of this environment.
    """
    costs = {}
    for module in modules:
        runs = [_python(template, "-c", PROBE.format(module=module)) for _ in range(RUNS)]
        pairs = [tuple(map(float, run.split()[-2:])) for run in runs]
        costs[module] = min(pairs)
    return costs


def first_signal(template: pathlib.Path, tool: str, arguments: dict) -> float:
    """The seconds from the start of the template's Tuner to the answer of one signal, at best."""
    params = {"name": tool, "arguments": arguments, "_meta": META}
    signal = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    took = []
    for _ in range(RUNS):
        started = time.perf_counter()
        answer = _python(template, "-m", "tuner", cwd=template, input=signal + "\n")
        took.append(time.perf_counter() - started)
        if json.loads(answer.splitlines()[0])["result"]["isError"]:
            sys.exit(f"the signal was refused: {answer}")
    return min(took)


def first_tune(agent: str, template: str, words: list[str]) -> float:
    """The median seconds of `agent tune` in a new repository, in which no process runs."""
    quiet = {"check": True, "capture_output": True, "text": True}
    took = []
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([agent, "init", f"{folder}/a", "--template", template], **quiet)
        for _ in range(TUNES):
            started = time.perf_counter()
            subprocess.run([agent, "-C", f"{folder}/a", "tune", *words], **quiet)
            took.append(time.perf_counter() - started)
    return statistics.median(took)


def _python(template: pathlib.Path, *command, **options) -> str:
    folders = os.pathsep.join([str(template), str(ROOT / "templates/runtime")])
    variables = {**os.environ, "PYTHONPATH": folders, "PYTHONDONTWRITEBYTECODE": "1"}
    whole = {"check": True, "capture_output": True, "text": True, **options}
    return subprocess.run([sys.executable, *command], env=variables, **whole).stdout


def is_quick(template: pathlib.Path, peers: list[str], tool: str, arguments: dict) -> bool:
    """Prints what processes cost that import the template's Tuner and Runner, and each peer.

    Whether a first signal takes less than a second from a cold start.
    """
    print(f"\nCost of a process, best of {RUNS}")
    costs = import_costs(template, ["tuner.__main__", "runner.__main__", *peers])
    for module, (seconds, memory) in costs.items():
        print(f"  {module:15} import {1000 * seconds:5.0f} ms, memory {memory:4.0f} MiB")
    took = first_signal(template, tool, arguments)
    print(f"  the Tuner's first signal {1000 * took:.0f} ms after a cold start")
    return took < QUICK_S
