"""The template `preferences` beside choix and scipy: the same data, the same regularisation.

    python3 tests/bench/preferences.py [--folder /tmp/agent-preferences] [--trials 200]

choix (Maystre) and scipy are installed into --folder once, from PyPI. Prints

- the largest difference of the strengths to choix's three fits of Bradley-Terry, by data set, and
  whether the rankings are the same. Its `opt` has a Gaussian prior, `mm` a gamma prior of each
  exp(strength), and `ilsr` with a rate alpha the gamma prior of `mm` with n alpha for n items,
- the same for Davidson's model with ties, against a general optimiser of scipy,
- the coverage of 95% intervals when judges differ, with and without the design effect,
- the judgements that active and random pairs take,
- import time, memory and the time of a first signal, of the Tuner's process and of choix.
"""

import argparse
import json
import math
import pathlib
import random
import sys
import tempfile

from peers_in_python import ROOT, add_json, is_quick, run_with, write_json

TEMPLATE = ROOT / "templates/preferences"
PACKAGES = ["choix==0.4.1", "scipy", "numpy"]

# the data of choix's README and tutorial, and the two pairwise sets of its tests
README = (5, [(1, 0), (0, 4), (3, 1), (0, 2), (2, 4), (4, 3)])
TUTORIAL = (4, [(3, 2), (2, 1), (1, 0)])
TESTCASE_1 = (3, [(0, 1), (1, 2), (2, 0)])
TESTCASE_2 = (3, [(0, 1), (0, 1), (1, 2), (2, 0)])


def data_sets() -> dict[str, tuple[int, list[tuple[int, int]]]]:
    """(number of items, winner and loser of each comparison) by name."""
    import choix
    import numpy

    sets = {
        "choix README": README,
        "choix tutorial": TUTORIAL,
        "choix test 1": TESTCASE_1,
        "choix test 2": TESTCASE_2,
    }
    for items, comparisons in ((5, 40), (20, 400), (50, 3000)):
        numpy.random.seed(items)
        random.seed(items)
        strengths = choix.generate_params(items, interval=4.0)
        drawn = choix.generate_pairwise(strengths, comparisons)
        name = f"synthetic {items} x {comparisons}"
        sets[name] = (items, [(int(a), int(b)) for a, b in drawn])
    return sets


def counted(comparisons, ties=()):
    """The template's pairs of a list of comparisons."""
    from runner.davidson import Pair

    counts: dict[tuple[int, int], list[int]] = {}
    for kind, rows in ((0, comparisons), (2, ties)):
        for a, b in rows:
            first, second = min(a, b), max(a, b)
            row = counts.setdefault((first, second), [0, 0, 0])
            row[kind + (kind == 0 and a != first)] += 1
    return [Pair(*names, *row) for names, row in sorted(counts.items())]


def order(strengths) -> list[int]:
    """Items from the strongest to the weakest; those closer than 1e-6 by number."""
    return sorted(range(len(strengths)), key=lambda item: (-round(float(strengths[item]), 6), item))


def against_choix() -> dict:
    """The largest difference of all, and whether every ranking is the same."""
    import choix
    from runner.davidson import Prior, fit

    alpha, largest, every = 0.1, 0.0, True
    print("Bradley-Terry: largest difference of the strengths to choix, and the ranking")
    for name, (items, comparisons) in data_sets().items():
        pairs = counted(comparisons)
        gamma = fit(items, pairs, Prior("gamma", alpha, 1.0)).strengths
        # its penalty is alpha times the sum of squares, a precision of 2 alpha
        gaussian = fit(items, pairs, Prior("gaussian", 2 * alpha, 1.0)).strengths
        tight = {"max_iter": 100_000, "tol": 1e-12}
        peers = {
            "opt": (gaussian, choix.opt_pairwise(items, comparisons, alpha, tol=1e-12)),
            "mm": (gamma, choix.mm_pairwise(items, comparisons, alpha=alpha, **tight)),
            "ilsr": (gamma, choix.ilsr_pairwise(items, comparisons, alpha / items, **tight)),
        }
        for method, (ours, theirs) in peers.items():
            mean = sum(theirs) / items
            difference = max(abs(a - (b - mean)) for a, b in zip(ours, theirs, strict=True))
            same = order(ours) == order([value - mean for value in theirs])
            largest, every = max(largest, difference), every and same
            ranking = "same ranking" if same else "ANOTHER RANKING"
            print(f"  {name:22} {method:5} {difference:9.1e}  {ranking}")
    return {"largest_difference": largest, "same_rankings": every}


def drawn_with_ties(generator, items, judgements, nu):
    """Judgements of Davidson's model: (winner, loser) of wins, and the ties."""
    strengths = [generator.gauss(0, 1) for _ in range(items)]
    wins, ties = [], []
    for _ in range(judgements):
        a, b = generator.sample(range(items), 2)
        outcome = judged(generator, strengths[a] - strengths[b], nu)
        if outcome == 0.5:
            ties.append((a, b))
        else:
            wins.append((a, b) if outcome else (b, a))
    return strengths, wins, ties


def judged(generator, difference: float, nu: float) -> float:
    """An outcome drawn from Davidson's model: 1, 0 or 1/2."""
    up, down = math.exp(difference / 2), math.exp(-difference / 2)
    at = generator.random() * (up + down + nu)
    return 1.0 if at < up else 0.0 if at < up + down else 0.5


def against_scipy() -> bool:
    import numpy
    from runner.davidson import Prior, fit
    from scipy.optimize import minimize

    good = True
    print("\nDavidson: largest difference of strengths and log nu to scipy's BFGS")
    for items, judgements, nu in ((4, 60, 0.3), (10, 500, 1.0), (25, 3000, 0.5)):
        _, wins, ties = drawn_with_ties(random.Random(items), items, judgements, nu)
        precision, tie_precision = 0.5, 0.1

        def objective(parameters, wins=wins, ties=ties, items=items):
            # from the probabilities of single judgements, without the template's counts
            s, eta = parameters[:items], parameters[items]
            total = precision * (s @ s) / 2 + tie_precision * eta * eta / 2
            for rows, is_tie in ((numpy.array(wins), False), (numpy.array(ties), True)):
                a, b = s[rows[:, 0]], s[rows[:, 1]]
                middle = eta + (a + b) / 2
                norm = numpy.logaddexp(numpy.logaddexp(a, b), middle)
                total -= ((middle if is_tie else a) - norm).sum()
            return total

        start = numpy.zeros(items + 1)
        found = minimize(objective, start, method="BFGS", options={"gtol": 1e-7}).x
        ours = fit(items, counted(wins, ties), Prior("gaussian", precision, tie_precision))
        theirs = found[:items] - found[:items].mean()
        gaps = [abs(a - b) for a, b in zip(ours.strengths, theirs, strict=True)]
        difference = max([*gaps, abs(math.log(ours.nu) - found[items])])
        same = order(ours.strengths) == order(theirs)
        good &= same and difference < 1e-5  # BFGS differentiates numerically
        ranking = "same ranking" if same else "ANOTHER RANKING"
        print(f"  {items:3} items, {judgements:5} judgements  {difference:9.1e}  {ranking}")
    return good


def state_with(items: int) -> dict:
    """The template's state with other items."""
    state = json.loads((TEMPLATE / "state/active.state.json").read_text())
    state["model"]["memory"] = 5000
    state["items"] = {f"i{number:02}": {"text": ""} for number in range(items)}
    return state


def give(state: dict, first: str, second: str, outcome: float, conversation: str) -> None:
    from tuner.judgements import Outcome, judge

    winner, loser = (second, first) if outcome == 0.0 else (first, second)
    judge(state, Outcome(winner, loser, outcome == 0.5), conversation, "")


def coverage(trials: int) -> None:
    """How often 95% intervals of a difference hold its true value, when judges have tastes."""
    from runner.standings import Standings, MEMBERS

    items, judges, each, taste, nu = 6, 40, 12, 0.8, 0.5
    held = {"with the design effect": 0, "without": 0}
    count = 0
    generator = random.Random(1)
    for _ in range(trials):
        state, strengths = state_with(items), [generator.gauss(0, 0.7) for _ in range(items)]
        state["model"]["strength"] = 0.01
        names = sorted(state["items"])
        for judge in range(judges):
            own = [value + generator.gauss(0, taste) for value in strengths]
            for _ in range(each):
                a, b = generator.sample(range(items), 2)
                outcome = judged(generator, own[a] - own[b], nu)
                give(state, names[a], names[b], outcome, f"c{judge}")
        over = Standings(tuple(state[name] for name in MEMBERS))
        target = marginal(strengths, taste, nu)
        for a in range(items):
            for b in range(a + 1, items):
                gap = over.fit.strengths[a] - over.fit.strengths[b] - (target[a] - target[b])
                spread = math.sqrt(over.fit.variance(a, b))
                count += 1
                held["without"] += abs(gap) < 1.96 * spread
                wide = spread * math.sqrt(over.design_effect)
                held["with the design effect"] += abs(gap) < 1.96 * wide
    print("\nCoverage of 95% intervals of differences")
    print(f"({judges} judges with {each} judgements each, tastes of standard deviation {taste},")
    print(f"{trials} repetitions)")
    for name, number in held.items():
        print(f"  {name:24} {number / count:.3f}")


def marginal(strengths: list[float], taste: float, nu: float) -> list[float]:
    """The strengths that the model has for the mean judge, from many judgements of many judges."""
    from runner.davidson import Pair, Prior, fit

    generator, pairs, draws = random.Random(7), [], 400
    for a in range(len(strengths)):
        for b in range(a + 1, len(strengths)):
            wins = losses = ties = 0.0
            for _ in range(draws):
                shift = generator.gauss(0, taste * math.sqrt(2))
                gap = strengths[a] - strengths[b] + shift
                up, down = math.exp(gap / 2), math.exp(-gap / 2)
                total = up + down + nu
                wins, losses, ties = wins + up / total, losses + down / total, ties + nu / total
            pairs.append(Pair(a, b, *(round(1000 * value) for value in (wins, losses, ties))))
    return fit(len(strengths), pairs, Prior("gaussian", 0.01, 0.01)).strengths


def active_choice(trials: int) -> None:
    """The error of the strengths with active and with random pairs, by judgements."""
    from runner.pairing import next_pair
    from runner.standings import MEMBERS, Standings

    items, marks = 8, (20, 40, 80)
    errors = {"active": dict.fromkeys(marks, 0.0), "random": dict.fromkeys(marks, 0.0)}
    best = {"active": dict.fromkeys(marks, 0), "random": dict.fromkeys(marks, 0)}
    for trial in range(trials):
        generator = random.Random(trial)
        strengths = [generator.gauss(0, 1) for _ in range(items)]
        mean = sum(strengths) / items
        strengths = [value - mean for value in strengths]
        for way in errors:
            state, draw = state_with(items), random.Random(f"{way} {trial}")
            names = sorted(state["items"])
            numbers = {name: number for number, name in enumerate(names)}
            for step in range(1, max(marks) + 1):
                over = Standings(tuple(state[name] for name in MEMBERS))
                if way == "active":
                    first, second = next_pair(over.fit, numbers, f"c{step}", ())
                else:
                    first, second = draw.sample(names, 2)
                gap = strengths[numbers[first]] - strengths[numbers[second]]
                give(state, first, second, judged(draw, gap, 0.5), "")
                if step in marks:
                    over = Standings(tuple(state[name] for name in MEMBERS))
                    errors[way][step] += math.dist(over.fit.strengths, strengths) / items**0.5
                    best[way][step] += order(over.fit.strengths)[0] == order(strengths)[0]
    print(f"\nActive and random pairs, {items} items, {trials} repetitions")
    for way in errors:
        for mark in marks:
            error, found = errors[way][mark] / trials, best[way][mark] / trials
            print(f"  {way:7} after {mark:3}: error {error:.3f}, best item found {found:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = pathlib.Path(tempfile.gettempdir()) / "agent-preferences"
    parser.add_argument("--folder", type=pathlib.Path, default=folder)
    parser.add_argument("--trials", type=int, default=200)
    add_json(parser)
    options = parser.parse_args()
    run_with(PACKAGES, options.folder)
    sys.path.insert(0, str(TEMPLATE))
    choix = against_choix()
    write_json(options.json, choix)
    good = [choix["same_rankings"] and choix["largest_difference"] < 1e-6, against_scipy()]
    coverage(options.trials)
    active_choice(options.trials)
    judgement = {"winner": "chain", "loser": "short"}
    good.append(is_quick(TEMPLATE, ["choix"], "prefer", judgement))
    print("\nreached" if all(good) else "\nNOT REACHED")
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
