"""1,000 trivial cases through `agent test`, and the same through the evaluation tools people use today, each as a whole command.

    python3 tests/bench/peers.py [--agent target/release/agent] [--cases 1000] [--folder /tmp/agent-peers] [--only pytest,dspy]

Each peer is given the easiest form of the work: the function under test is called in its own process, where it can be, and nothing is asked of a model.
`agent` calls it over MCP, in a process of its own, and keeps every result. The peers are installed into --folder once, from PyPI and npm.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import tier_throughput

INSPECT = """
from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.scorer import exact
from inspect_ai.solver import solver

@solver
def same():
    async def solve(state, generate):
        state.output.completion = state.input_text
        return state
    return solve

@task
def bench():
    return Task(MemoryDataset([Sample(input=str(n), target=str(n)) for n in range(CASES)]), solver=same(), scorer=exact())
"""
DSPY = """
import dspy

class Same(dspy.Module):
    def forward(self, number):
        return dspy.Prediction(answer=number)

devset = [dspy.Example(number=n, answer=n).with_inputs("number") for n in range(CASES)]
score = dspy.Evaluate(devset=devset, metric=lambda case, got, trace=None: case.answer == got.answer, num_threads=2, display_progress=False)(Same())
assert float(getattr(score, "score", score)) == 100.0, score
"""
PYTEST = """
import pytest

@pytest.mark.parametrize("number", range(CASES))
def test_same(number):
    assert number == number
"""
PROMPTFOO = "def call_api(prompt, options, context):\n    return {'output': context['vars']['number']}\n"


def run(command, folder, **environment):
    done = subprocess.run(command, cwd=folder, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{command[0]} failed:\n{done.stdout[-2000:]}")
    return done.stdout


def environment(folder, package):
    """The `bin` of an environment with this package."""
    place = folder / package
    if not (place / "bin" / "pip").exists():
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
    run([place / "bin" / "pip", "install", "--quiet", package], folder)
    return place / "bin"


def inspect(folder, work, cases):
    tools = environment(folder, "inspect-ai")
    (work / "bench.py").write_text(INSPECT.replace("CASES", str(cases)))
    command = [tools / "inspect", "eval", "bench.py", "--model", "mockllm/model", "--display", "none", "--log-dir", "logs", "--max-samples", "100"]
    return lambda: run(command, work, INSPECT_LOG_LEVEL="error")


def dspy(folder, work, cases):
    tools = environment(folder, "dspy")
    (work / "bench_dspy.py").write_text(DSPY.replace("CASES", str(cases)))
    return lambda: run([tools / "python", "bench_dspy.py"], work)


def pytest(folder, work, cases):
    tools = environment(folder, "pytest")
    (work / "test_bench.py").write_text(PYTEST.replace("CASES", str(cases)))
    return lambda: run([tools / "pytest", "-q", "-p", "no:cacheprovider", "test_bench.py"], work)


def promptfoo(folder, work, cases):
    place = folder / "promptfoo"
    if not (place / "node_modules/.bin/promptfoo").exists():
        place.mkdir(parents=True, exist_ok=True)
        run(["npm", "init", "--yes"], place)
        run(["npm", "install", "--no-audit", "--no-fund", "promptfoo"], place)
    (work / "provider.py").write_text(PROMPTFOO)
    tests = [{"vars": {"number": str(n)}, "assert": [{"type": "equals", "value": str(n)}]} for n in range(cases)]
    (work / "promptfooconfig.json").write_text(json.dumps({"prompts": ["{{number}}"], "providers": ["file://provider.py"], "tests": tests}))
    command = [place / "node_modules/.bin/promptfoo", "eval", "-c", "promptfooconfig.json", "--no-cache", "--no-table", "--no-progress-bar", "-j", "8"]
    quiet = {"PROMPTFOO_DISABLE_TELEMETRY": "1", "PROMPTFOO_DISABLE_UPDATE": "1", "PROMPTFOO_CONFIG_DIR": str(work / "promptfoo-home")}
    return lambda: run(command, work, PROMPTFOO_PYTHON=sys.executable, **quiet)


PEERS = {"pytest": pytest, "dspy": dspy, "inspect": inspect, "promptfoo": promptfoo}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent", default=tier_throughput.ROOT / "target/release/agent", type=pathlib.Path)
    parser.add_argument("--cases", default=1000, type=int)
    parser.add_argument("--folder", default=pathlib.Path(tempfile.gettempdir()) / "agent-peers", type=pathlib.Path)
    parser.add_argument("--only", default=",".join(PEERS))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(temporary)
        (work / "agent").mkdir()
        tier_throughput.make_repository(work / "agent", options.cases)
        agent = options.agent.resolve()
        # the peers came with their bytecode, ours is made by the first run
        tier_throughput.agent_test(agent, work / "agent", options.cases, 2)
        sides = {"agent test": lambda: tier_throughput.agent_test(agent, work / "agent", options.cases, 2)}
        for name in options.only.split(","):
            sides[name] = PEERS[name](options.folder, work, options.cases)
        seconds = {}
        for name, side in sides.items():
            started = time.perf_counter()
            side()
            seconds[name] = time.perf_counter() - started
    for name, taken in seconds.items():
        print(f"{name:12} {taken:7.2f} s  {taken / seconds['agent test']:7.1f} times agent test")


if __name__ == "__main__":
    main()
