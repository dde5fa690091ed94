"""CMA-ES through the Tuner on BBOB, beside pycma with IPOP restarts on the same problems.

    python3 tests/bench/search.py [--instances 1-5] [--functions 1-24] [--only ours|pycma]
                                  [--folder FOLDER] [--json FILE]
    python3 tests/bench/search.py --seeds 10 [--budget 300]

BBOB (Hansen, Finck, Ros and Auger, 2009) as `coco-experiment` has it: 24 functions, D = 5, 2000 D
evaluations of each problem. Our optimiser (templates/search/optimiser) does one step a call, as the
Tuner does: its state goes through JSON text between any two steps. On some of the problems the path
without JSON is compared as well: the last states must be the same text. pycma is `cma.fmin2` with
9 restarts, each with twice the population, its defaults otherwise.

Both start at the suite's initial solution with the same step size, and stop at the final target,
1e-8 above the optimum. A target of the 51 from 100 down to 1e-8 counts once it is reached.
The packages are installed into --folder once. What the Tuner needs to start is printed first.

With --seeds, the template's own tier is searched instead, without peers, with so many seeds.
"""

import argparse
import contextlib
import importlib.util
import json
import pathlib
import resource
import statistics
import sys
import tempfile
import time

from peers_in_python import ROOT, add_json, is_quick, run_with, write_json

TEMPLATE = ROOT / "templates/search"
DIMENSION = 5
BUDGET = 2000 * DIMENSION
TARGETS = [10 ** (2 - step / 5) for step in range(51)]
SIGMA = 0.2  # of the range of each parameter, -5 to 5
COMPARED_EVERY = 10  # of so many problems, one is also searched without JSON between the steps


class Measured:
    """A problem that notes its lowest value above the optimum."""

    def __init__(self, problem, optimum):
        self.problem = problem
        self.optimum = optimum
        self.lowest = float("inf")

    def __call__(self, point):
        value = self.problem(point)
        self.lowest = min(self.lowest, value - self.optimum)
        return value

    @property
    def is_solved(self):
        return bool(self.problem.final_target_hit)

    def targets_hit(self):
        return sum(bool(self.lowest <= target) for target in TARGETS)


def suite(options):
    import cocoex

    functions = f"dimensions: {DIMENSION} function_indices: {options.functions}"
    return cocoex.Suite("bbob", f"instances: {options.instances}", functions)


def optima(options):
    """The optimal value of each problem, by id. The suite writes an optimum's place to a file."""
    found = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for problem in suite(options):
            problem._best_parameter("print")
            (file,) = pathlib.Path(folder).glob("._bbob_problem_best_parameter.txt")
            found[problem.id] = problem([float(word) for word in file.read_text().split()])
    return found


def seed_of(problem):
    return problem.id_function * 100 + problem.id_instance


def ours(problem, measured, through_json=True):
    """Searches one problem; the state at the end, as JSON text."""
    from optimiser import search

    names = [f"x{index}" for index in range(DIMENSION)]
    settings = {
        "seed": seed_of(problem),
        "sigma": SIGMA,
        "tolerance": 1e-9,
        "target": None,
        "restarts": "start",
        "patience": 100,
        "noise": "none",
        "evaluations": 1,
        "most_evaluations": 1,
    }
    space = {name: {"low": -5.0, "high": 5.0} for name in names}
    state = search.begin(space, dict(zip(names, problem.initial_solution.tolist())), settings)
    while state["evaluations"] < BUDGET and not measured.is_solved:
        if through_json:
            state = json.loads(json.dumps(state))
        candidate, parameters = search.ask(state)
        search.tell(state, candidate, -measured(list(parameters.values())))
    return json.dumps(state)


def pycma(problem, measured):
    import cma

    settings = {
        "maxfevals": BUDGET,
        "seed": seed_of(problem),
        "termination_callback": lambda _: measured.is_solved,
        "verbose": -9,
    }
    sigma = SIGMA * 10
    cma.fmin2(measured, problem.initial_solution, sigma, settings, restarts=9, incpopsize=2)


def solved(options, optimise):
    """Lines of (function, is solved, targets hit, evaluations), and the processor time of them."""
    values = optima(options)
    seconds, lines = 0.0, []
    for number, problem in enumerate(suite(options)):
        measured = Measured(problem, values[problem.id])
        began = time.process_time()
        path = optimise(problem, measured)
        seconds += time.process_time() - began
        result = measured.is_solved, measured.targets_hit(), problem.evaluations
        lines.append((problem.id_function, *result))
        if path is not None and number % COMPARED_EVERY == 0:
            again = suite(options).get_problem(problem.id)
            repeated = ours(again, Measured(again, values[problem.id]), through_json=False)
            assert repeated == path, f"{problem.id}: another path without JSON between the steps"
    return lines, seconds


def row(name, lines, seconds):
    """Prints a line of the table. Gives how many of the runs were solved, and their targets."""
    hits = {}
    for function, is_solved, *_ in lines:
        hits[function] = hits.get(function, 0) + is_solved
    targets = statistics.mean(line[2] for line in lines)
    each = seconds / sum(line[3] for line in lines) * 1e6
    print(f"{name:8} {sum(hits.values()):3} of {len(lines)} solved", end="")
    print(f", {targets:.1f} of {len(TARGETS)} targets, {each:.0f} us an evaluation")
    print("         by function:", *(f"f{function}:{count}" for function, count in hits.items()))
    sys.stdout.flush()
    return {"solved": sum(hits.values()), "runs": len(lines), "targets": targets}


def tier_score(tier):
    """The mean score of a tier's cases, as a function of the forecaster's parameters."""
    from runner import smoothing

    specification = importlib.util.spec_from_file_location("s", TEMPLATE / "tests/scorers.py")
    scorers = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(scorers)
    lines = (TEMPLATE / "tests" / tier / "series.jsonl").read_text().splitlines()
    cases = [json.loads(line) for line in lines]

    def score(parameters):
        by = smoothing.Smoothing(**parameters)
        values = [smoothing.forecast_of(one["arguments"]["history"], 12, by) for one in cases]
        answers = [{"structuredContent": {"values": one}} for one in values]
        return statistics.fmean(map(scorers.closer, cases, answers))

    return score


def own_task(seeds, budget):
    """What searches with so many seeds find on the template's fast tier, and held out."""
    from optimiser import search

    fast, heldout = tier_score("fast"), tier_score("full/heldout")
    state = json.loads((TEMPLATE / "state/active.state.json").read_text())
    start, found = state["parameters"], []
    print(f"as shipped: fast {fast(start):.3f}, held out {heldout(start):.3f}")
    for seed in range(1, seeds + 1):
        here = search.begin(state["space"], start, state["settings"] | {"seed": seed})
        while here["evaluations"] < budget and not here["done"]:
            candidate, parameters = search.ask(here)
            search.tell(here, candidate, round(fast(parameters), 6))
        best = here["best"]["parameters"]
        found.append((here["best"]["value"], heldout(best)))
        print(f"seed {seed}: fast {found[-1][0]:.3f}, held out {found[-1][1]:.3f}", end="")
        counts = f"{here['restart']} restarts, {here['evaluations']} values"
        print(f", period {best['period']}, {counts}")
    for name, column in zip(("fast", "held out"), zip(*found)):
        low, high = min(column), max(column)
        print(f"{name}: median {statistics.median(column):.3f} ({low:.3f}, {high:.3f})")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instances", default="1-5")
    parser.add_argument("--functions", default="1-24")
    parser.add_argument("--only", choices=("ours", "pycma"))
    parser.add_argument("--folder", default="/tmp/agent-bench-search", type=pathlib.Path)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--budget", default=300, type=int)
    add_json(parser)
    options = parser.parse_args()
    sys.path.insert(0, str(TEMPLATE))
    if options.seeds:
        own_task(options.seeds, options.budget)
        return
    run_with(["coco-experiment", "cma"], options.folder.resolve())
    is_quick(TEMPLATE, ["cma"], "ask", {})
    figures = {
        name: row(name, *solved(options, optimise))
        for name, optimise in (("ours", ours), ("pycma", pycma))
        if options.only in (None, name)
    }
    write_json(options.json, figures)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of this run {peak:.0f} MiB")


if __name__ == "__main__":
    main()
