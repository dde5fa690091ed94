"""What benchmarks of a template against Python packages share: their environment, and the costs of
the Tuner's process beside that of a peer.
"""

import json
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PINNED = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
RUNS = 3
PROBE = """
import time
start = time.perf_counter()
import {module}
seconds = time.perf_counter() - start
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(seconds, int(status["VmRSS"].split()[0]) / 1024)
"""


def run_with(packages: list[str], folder: pathlib.Path) -> None:
    """Runs the program again in an environment with these packages of PyPI.

    It is made in the folder once. Returns where the program runs in it already.
    """
    place = folder / "environment"
    if pathlib.Path(sys.prefix).resolve() == place.resolve():
        return
    done = place / "installed"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        command = [place / "bin/pip", "install", "--quiet", "--only-binary", ":all:", *packages]
        subprocess.run(command, check=True)
        done.touch()
    command = [place / "bin/python", *sys.argv]
    sys.exit(subprocess.run(command, env={**os.environ, **PINNED}).returncode)


def is_quick(template: pathlib.Path, peers: list[str], tool: str, arguments: dict) -> bool:
    """Prints what processes cost that import the template's Tuner and Runner, and each peer.

    Whether a first signal takes less than a second from a cold start.
    """
    print(f"\nCost of a process, best of {RUNS}")
    folders = os.pathsep.join([str(template), str(ROOT / "templates/runtime")])
    environment = {**os.environ, "PYTHONPATH": folders, "PYTHONDONTWRITEBYTECODE": "1"}

    def run(*command, **options):
        whole = {"check": True, "capture_output": True, "text": True, **options}
        return subprocess.run([sys.executable, *command], env=environment, **whole).stdout

    for module in ("tuner.__main__", "runner.__main__", *peers):
        runs = [run("-c", PROBE.format(module=module)).split()[-2:] for _ in range(RUNS)]
        seconds, memory = min((float(seconds), float(memory)) for seconds, memory in runs)
        print(f"  {module:15} import {1000 * seconds:5.0f} ms, memory {memory:4.0f} MiB")
    params = {"name": tool, "arguments": arguments, "_meta": META}
    signal = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    took = []
    for _ in range(RUNS):
        started = time.perf_counter()
        answer = run("-m", "tuner", cwd=template, input=json.dumps(signal) + "\n")
        took.append(time.perf_counter() - started)
        if json.loads(answer.splitlines()[0])["result"]["isError"]:
            sys.exit(f"the signal was refused: {answer}")
    print(f"  the Tuner's first signal {1000 * min(took):.0f} ms after a cold start")
    return min(took) < 1
