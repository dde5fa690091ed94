"""Contextual bandits on four of scikit-learn's data sets: progressive validation loss.

    python tests/bench/bandits.py [--shuffles 5] [--sets digits,iris] [--drift iris]

Each data set is a bandit problem: a row is the context, the classes are the arms, and the reward is
1 for the row's class and 0 for another. Features are standardised, rows are shuffled, and one pass
is made. The loss is 1 - the mean reward of the arms that were chosen.

Ours are the Runner and the Tuner of templates/bandit, with its settings as they are: `choose` gives
the arm, `reward` learns from the turn that `choose` noted. Beside them, in the same run and on the
same shuffles, Vowpal Wabbit's squarecb and MABWiser's LinTS. Needs scikit-learn, vowpalwabbit and
mabwiser: `just bench-bandits` installs them.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy
from sklearn import datasets
from sklearn.preprocessing import StandardScaler

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "templates/bandit"
sys.path.insert(0, str(ROOT / "tests/python"))

from in_process import Tools  # noqa: E402

from peers_in_python import add_json, first_tune, import_costs, write_json  # noqa: E402

SETS = {
    "digits": datasets.load_digits,
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "cancer": datasets.load_breast_cancer,
}
TARGETS = {"digits": 0.253, "iris": 0.216, "wine": 0.107, "cancer": 0.049}
ROWS_IN_JSON = 150
OURS = ("square-cb", "lin-ts", "lin-ucb")
WINDOWS = {
    "all rewards": {"kind": "none"},
    "discount 0.98": {"kind": "discount", "gamma": 0.98},
    "discount 0.998": {"kind": "discount", "gamma": 0.998},
    "the last 100": {"kind": "sliding", "size": 100},
}
TOOLS = {as_json: Tools(TEMPLATE, as_json) for as_json in (True, False)}


def problem(name, shuffle, drift=False):
    """The rows, standardised and shuffled, and their classes; with a drift renamed half-way."""
    rows, classes = SETS[name](return_X_y=True)
    random = numpy.random.default_rng(shuffle)
    order = random.permutation(len(rows))
    rows, classes = StandardScaler().fit_transform(rows)[order], classes[order]
    if drift:
        # each class becomes the next one
        half = len(classes) // 2
        classes = numpy.concatenate([classes[:half], (classes[half:] + 1) % (classes.max() + 1)])
    return rows, classes


def policy():
    """The settings of the template."""
    return json.loads((TEMPLATE / "state/active.state.json").read_text())["policy"]


def initial_state(width, arms, algorithm, window):
    """The template's state, with this problem's features and arms."""
    state = json.loads((TEMPLATE / "state/active.state.json").read_text())
    state["policy"] |= {"algorithm": algorithm, "window": window}
    state["features"] = [{"name": f"f{number}"} for number in range(width)]
    state["arms"] = {str(arm): {"n": 0, "sum": 0, "squares": 0} for arm in range(arms)}
    return state


def ours(name, shuffle, algorithm, window="all rewards", drift=False, as_json=False, limit=None):
    """(rewards, final state) of one pass, or of its first rows."""
    rows, classes = problem(name, shuffle, drift)
    state = initial_state(rows.shape[1], int(classes.max()) + 1, algorithm, WINDOWS[window])
    tools, rewards = TOOLS[as_json], []
    for step, (row, kind) in enumerate(zip(rows[:limit], classes[:limit], strict=True)):
        context = as_context(row)
        # the shuffle is part of the seed, so that each is a history of its own
        talk = f"{shuffle}-{step}"
        result, facts = tools.run("choose", state, talk, 1, str(step), context=context)
        value = int(result["arm"] == str(kind))
        turns = [{"tool": "choose", "facts": facts}]
        _, state = tools.tune("reward", state, talk, turns, value=value)
        rewards.append(value)
    return rewards, state


def vowpal_wabbit(name, shuffle):
    from vowpalwabbit import Workspace

    rows, classes = problem(name, shuffle)
    arms = int(classes.max()) + 1
    random = numpy.random.default_rng(shuffle)
    learner = Workspace(f"--cb_explore {arms} --squarecb --quiet --random_seed {shuffle}")
    rewards = []
    for row, kind in zip(rows, classes, strict=True):
        features = " ".join(f"f{number}:{value:.6f}" for number, value in enumerate(row))
        chances = numpy.array(learner.predict(f"| {features}"))
        arm = random.choice(arms, p=chances / chances.sum())
        rewards.append(int(arm == kind))
        learner.learn(f"{arm + 1}:{1 - rewards[-1]}:{chances[arm]:.6f} | {features}")
    return rewards


def mabwiser(name, shuffle, alpha):
    from mabwiser.mab import MAB, LearningPolicy

    rows, classes = problem(name, shuffle)
    policy = LearningPolicy.LinTS(alpha=alpha)
    learner = MAB(list(range(int(classes.max()) + 1)), policy, seed=shuffle)
    # it has to be fitted before it predicts: to nothing
    learner.fit([0], [0], numpy.zeros((1, rows.shape[1])))
    rewards = []
    for row, kind in zip(rows, classes, strict=True):
        arm = learner.predict(row[None])
        rewards.append(int(arm == kind))
        learner.partial_fit([arm], [rewards[-1]], row[None])
    return rewards


def one_loss(job):
    """The loss of one learner on one shuffle."""
    warnings.filterwarnings("ignore")
    learner, name, shuffle, options = job
    if learner == "vw":
        rewards = vowpal_wabbit(name, shuffle)
    elif learner == "mabwiser":
        rewards = mabwiser(name, shuffle, **options)
    else:
        rewards, _ = ours(name, shuffle, learner, **options)
    return 1 - statistics.fmean(rewards)


def losses(pool, learner, sets, shuffles, **options):
    """The mean loss over the shuffles, for each data set."""
    return {
        name: statistics.fmean(
            pool.map(one_loss, [(learner, name, shuffle, options) for shuffle in range(shuffles)])
        )
        for name in sets
    }


def show(label, values, suffix=""):
    numbers = "".join(f"{value:>9.3f}" for value in values.values())
    print(f"{label:<34}{numbers}  {suffix}", flush=True)


def compare(pool, sets, shuffles):
    """Gives the losses by learner, and the name of our default."""
    print(f"\nprogressive validation loss, {shuffles} shuffles")
    print(f"{'':<34}{''.join(f'{name:>9}' for name in sets)}")
    show("target", {name: TARGETS[name] for name in sets})
    peers = {
        "Vowpal Wabbit squarecb": losses(pool, "vw", sets, shuffles),
        "MABWiser LinTS, alpha 0.1": losses(pool, "mabwiser", sets, shuffles, alpha=0.1),
        "MABWiser LinTS, alpha 1 (default)": losses(pool, "mabwiser", sets, shuffles, alpha=1),
    }
    for label, values in peers.items():
        show(label, values)
    limit = {name: min(TARGETS[name], *(peer[name] for peer in peers.values())) for name in sets}
    show("the best of these", limit)
    default, found = policy(), {}
    for algorithm in OURS:
        began = time.perf_counter()
        found[algorithm] = values = losses(pool, algorithm, sets, shuffles)
        above = [
            f"{name} by {values[name] - limit[name]:.3f}"
            for name in sets
            if values[name] > limit[name]
        ]
        verdict = f"above: {', '.join(above)}" if above else "at or below the best on each"
        is_default = " (default)" if algorithm == default["algorithm"] else ""
        label = f"ours, {algorithm} {default['exploration'][algorithm]}{is_default}"
        show(label, values, f"{verdict}; {time.perf_counter() - began:.0f} s")
    return {"ours": found, "default": default["algorithm"], "peers": peers}


def compare_drift(pool, sets, shuffles):
    algorithm = policy()["algorithm"]
    print(f"\nthe same with {algorithm} where every class becomes the next one half-way")
    print(f"{'':<34}{''.join(f'{name:>9}' for name in sets)}")
    for window in WINDOWS:
        show(window, losses(pool, algorithm, sets, shuffles, window=window, drift=True))


def compare_json(sets):
    """The state as a value, and through JSON before and after each call: the same history."""
    for name in sets:
        for algorithm in OURS:
            as_value = ours(name, 0, algorithm, limit=ROWS_IN_JSON)
            in_json = ours(name, 0, algorithm, as_json=True, limit=ROWS_IN_JSON)
            assert as_value == in_json, (name, algorithm)
    print(f"\nthe state through JSON at each call, {ROWS_IN_JSON} rows: the same choices and state")


def median_time(function, times, clock=time.perf_counter):
    taken = []
    for number in range(times):
        began = clock()
        function(number)
        taken.append(clock() - began)
    return statistics.median(taken)


def cost_of_a_call(sets):
    """A choice and a reward on 64 features and 10 arms, after rewards of all of digits' rows."""
    if "digits" not in sets:
        return
    state = uniformly_logged("digits")
    print("\n64 features, 10 arms; CPU time in ms")
    print(f"{'':<34}{'choose':>9}{'first':>9}{'reward':>9}{'in JSON':>9}")
    for algorithm in OURS:
        state["policy"]["algorithm"] = algorithm
        times = [1e3 * taken for taken in call_times(state)]
        print(f"{algorithm:<34}{''.join(f'{taken:>9.2f}' for taken in times)}")
    size = len(json.dumps(state, separators=(",", ":")))
    print("first: a choice under a new state, for which each arm's matrix is factorised")
    print(f"in JSON: a reward with its state decoded and encoded; it has {size / 1e3:.0f} kB")


def uniformly_logged(name):
    """The state after a reward for each row, its arms in turn."""
    rows, classes = problem(name, 0)
    number = int(classes.max()) + 1
    state = initial_state(rows.shape[1], number, "lin-ts", WINDOWS["all rewards"])
    for step, (row, kind) in enumerate(zip(rows, classes, strict=True)):
        choice = {"arm": str(step % number), "context": as_context(row), "call": str(step)}
        _, state = TOOLS[False].tune("reward", state, value=int(step % number == kind), **choice)
    return state


def as_context(row):
    return {f"f{number}": float(value) for number, value in enumerate(row)}


def call_times(state):
    """The median times of a choice, the first one, a reward, and a reward through JSON."""
    from bandit.linear import posterior

    context = as_context(problem("digits", 0)[0][0])
    tools, through_json = TOOLS[False], TOOLS[True]
    algorithm = state["policy"]["algorithm"]
    _, facts = tools.run("choose", state, "c", 1, context=context)
    turns = [{"tool": "choose", "facts": facts}]

    def choose(number):
        tools.run("choose", state, f"c{number}", 1, context=context)

    def choose_anew(number):
        posterior.cache_clear()
        choose(number)

    def reward(number):
        tools.tune("reward", state, f"{algorithm}-{number}", turns, value=1)

    def reward_in_json(number):
        through_json.tune("reward", state, f"{algorithm}-json-{number}", turns, value=1)

    functions = ((choose, 50), (choose_anew, 5), (reward, 50), (reward_in_json, 10))
    return [median_time(function, times, time.process_time) for function, times in functions]


def cost_of_a_start(agent):
    """Import time and memory of Runner and Tuner, and a first signal from a cold start."""
    print(f"\n{'':<18}{'ms of import':>18}{'RSS, MiB':>10}")
    costs = import_costs(TEMPLATE, ["runner.__main__", "tuner.__main__"])
    for module, (taken, memory) in costs.items():
        print(f"{module:<18}{taken * 1e3:>18.0f}{memory:>10.0f}")
    if agent is None:
        return
    context = json.dumps({"kind": "bug", "words": 80, "has_code": 1})
    taken = first_tune(agent, "bandit", ["reward", "value=1", "arm=person", f"context={context}"])
    print(f"a signal through `agent tune` from a cold start: {taken:.2f} s (median of 5)")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--shuffles", type=int, default=5)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--drift", default="", help="the sets whose classes also change half-way")
    parser.add_argument("--agent", help="the binary, for the time of a first signal")
    add_json(parser)
    options = parser.parse_args()
    sets = options.sets.split(",")
    with ProcessPoolExecutor(options.processes) as pool:
        write_json(options.json, compare(pool, sets, options.shuffles))
        if options.drift:
            compare_drift(pool, options.drift.split(","), options.shuffles)
    compare_json(sets)
    cost_of_a_call(sets)
    cost_of_a_start(options.agent)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"peak memory of a process of this script, peers included: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
