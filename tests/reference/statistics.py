"""Writes statistics.json: scipy's results for the cases that agent-core's statistics are tested on.

    python3 -m venv .venv && .venv/bin/pip install scipy numpy && .venv/bin/python -P tests/reference/statistics.py

(`-P`: this file has the name of a standard module, which scipy imports.)
"""

import hashlib
import json
import math
import pathlib
import random
import struct

import numpy as np
import scipy
from scipy import optimize, special, stats

RESAMPLES = 9_999
BETS = [0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9, 1.0]
MASK = (1 << 64) - 1


def beta():
    rows = [(0.5, 0.5, 0.3), (1, 1, 0.25), (2, 5, 0.9), (5, 2, 1e-3), (40, 61, 0.4), (700, 300, 0.69), (5000, 5001, 0.5), (1e4, 30, 0.998)]
    return [{"a": a, "b": b, "x": x, "value": special.betainc(a, b, x)} for a, b, x in rows]


def ln_gamma():
    return [{"x": x, "value": special.gammaln(x)} for x in (0.1, 0.5, 1, 1.5, 2, 7.25, 100, 1e4, 1e6)]


def normal():
    cdf = [{"z": z, "value": stats.norm.cdf(z)} for z in (-30, -8, -3, -1.5, -1e-3, 0, 0.1, 1, 2.5, 6)]
    quantile = [{"p": p, "value": stats.norm.ppf(p)} for p in (1e-300, 1e-12, 1e-4, 0.025, 0.2, 0.5, 0.9, 0.975, 0.9999)]
    return {"cdf": cdf, "quantile": quantile}


def clopper_pearson():
    rows = [(0, 10, 0.95), (10, 10, 0.95), (1, 20, 0.95), (33, 100, 0.95), (5, 2000, 0.99), (100, 2000, 0.95), (999, 1000, 0.9)]
    found = []
    for hits, trials, confidence in rows:
        interval = stats.binomtest(hits, trials).proportion_ci(confidence_level=confidence, method="exact")
        found.append({"hits": hits, "trials": trials, "confidence": confidence, "low": interval.low, "high": interval.high})
    return found


def mcnemar():
    rows = [(0, 0), (5, 0), (0, 5), (9, 2), (10, 10), (60, 40), (400, 350), (3000, 2800)]
    mid_p = lambda better, n: stats.binom.sf(better, n, 0.5) + 0.5 * stats.binom.pmf(better, n, 0.5)
    return [{"better": better, "worse": worse, "p": mid_p(better, better + worse)} for better, worse in rows]


def tango_score(n, better, worse, difference):
    """The score statistic, its restricted estimate found as the root of the likelihood's slope instead of by the closed form."""
    low, high = max(0.0, -difference), (1 - difference) / 2
    same = n - better - worse

    def slope(q):
        terms = [(better, q + difference, 1), (worse, q, 1), (same, 1 - 2 * q - difference, -2)]
        return sum(count * sign / value for count, value, sign in terms if count)

    edge = 1e-15 * max(1.0, high)
    if slope(low + edge) <= 0:
        q = low
    elif slope(high - edge) >= 0:
        q = high
    else:
        q = optimize.brentq(slope, low + edge, high - edge, xtol=1e-17, rtol=1e-15, maxiter=500)
    return (better - worse - n * difference) / math.sqrt(n * (2 * q + difference * (1 - difference)))


def tango():
    found = []
    for n, better, worse in [(20, 3, 1), (50, 9, 2), (100, 0, 0), (100, 14, 5), (44, 1, 9), (1000, 80, 120), (30, 12, 0)]:
        z = -stats.norm.ppf(0.025)
        score = lambda d: tango_score(n, better, worse, d)
        low = optimize.brentq(lambda d: score(d) - z, -1 + 1e-9, (better - worse) / n - 1e-9, xtol=1e-15, rtol=1e-14)
        high = optimize.brentq(lambda d: score(d) + z, (better - worse) / n + 1e-9, 1 - 1e-9, xtol=1e-15, rtol=1e-14)
        p = {difference: stats.norm.sf(score(difference)) for difference in (-0.1, -0.05, 0.02, 0.05)}
        found.append({"cases": n, "better": better, "worse": worse, "low": low, "high": high, "p": [[d, v] for d, v in p.items()]})
    return found


def wilcoxon():
    chance = random.Random(3)
    graded = lambda count, digits, shift: [round(chance.gauss(shift, 1), digits) for _ in range(count)]
    samples = [("exact", graded(8, 9, 0.3)), ("exact", graded(25, 9, 0.2)), ("exact", graded(50, 9, -0.1))]
    samples += [("ties", [0.25, -0.25, 0.5, 0.5, 0.5, -0.75, 1.0, 0.0, 0.0]), ("ties", [1, 1, 1, -1, 0.5, 0.5, 0.5, 0.5, -0.5, 1, 0])]
    samples += [("asymptotic", graded(80, 9, 0.2)), ("asymptotic", graded(200, 1, 0.1)), ("asymptotic", [1.0] * 40 + [-1.0] * 25 + [0.0] * 60)]
    found = []
    for method, values in samples:
        # every way the signs can fall: the exact distribution under ties
        how = stats.PermutationMethod(n_resamples=1 << 14) if method == "ties" else method
        p = stats.wilcoxon(values, zero_method="wilcox", correction=False, alternative="greater", method=how).pvalue
        found.append({"method": method, "values": values, "p": float(p)})
    return found


class SplitMix64:
    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)


def bootstrap():
    found = []
    for weights, gains in [([1] * 12, [1, 1, 0, 0, -1, 1, 0, 0, 1, 0, 0, 0]), ([1, 2, 0.5, 1, 3, 1], [0.25, -0.5, 0.75, 0.1, 0.3, 0.0])]:
        packed = b"".join(struct.pack(">dd", weight, gain) for weight, gain in zip(weights, gains))
        chance = SplitMix64(int.from_bytes(hashlib.sha256(packed).digest()[:8], "big"))
        weights, gains = np.array(weights, float), np.array(gains, float)
        drawn = np.array([[(chance.next() * len(gains)) >> 64 for _ in gains] for _ in range(RESAMPLES)])
        means = np.sort((weights * gains)[drawn].sum(1) / weights[drawn].sum(1))
        p = (np.sum(means <= 1e-12) + 1) / (RESAMPLES + 1)
        cut = int(0.025 * (RESAMPLES + 1)) - 1
        # scipy draws by another generator: the same to the third digit or so
        beside = stats.bootstrap((np.arange(len(gains)),), lambda i, axis=-1: (weights * gains)[i].sum(axis) / weights[i].sum(axis),
                                 n_resamples=RESAMPLES, method="percentile", rng=1, vectorized=True).confidence_interval
        found.append({"weights": weights.tolist(), "gains": gains.tolist(), "p": float(p), "low": float(means[cut]),
                      "high": float(means[RESAMPLES - 1 - cut]), "scipy": [float(beside.low), float(beside.high)]})
    return found


def e_process():
    chance = random.Random(5)
    found = []
    for bound in (-0.05, 0.0, 0.1):
        pairs = [(chance.choice([1, 1, 2]), chance.choice([-1, 0, 0, 0.5, 1, 1])) for _ in range(60)]
        largest = max(weight for weight, _ in pairs)
        wealth = [math.prod(1 + bet / (1 + bound) * weight / largest * (gain - bound) for weight, gain in pairs) for bet in BETS]
        found.append({"bound": bound, "pairs": pairs, "log": math.log(sum(wealth) / len(wealth))})
    return found


def hazard(tail):
    """The normal density over the tail; its quantile by Abramowitz and Stegun, 26.2.23."""
    t = math.sqrt(-2 * math.log(min(tail, 1 - tail)))
    above = 2.515517 + 0.802853 * t + 0.010328 * t**2
    below = 1 + 1.432788 * t + 0.189269 * t**2 + 0.001308 * t**3
    return stats.norm.pdf(t - above / below) / tail


def targeted_capital(bound, level, cases):
    """The capital after bets that hedge a digital option of 1/level."""
    target = (1 + 1e-9) / (0.9 * level)
    capital, squares = 1.0, [0.3] * 4
    for index, (weight, gain) in enumerate(cases):
        rest = sum(weight**2 for weight, _ in cases[index:]) * sum(squares) / len(squares)
        highest = weight * (1 - bound) / (1 + bound)
        if 0 < capital < target * (1 - 1e-12):
            bet = min(hazard(capital / target) / math.sqrt(rest), 1.0)
            bet = min(bet, (target / capital - 1) / highest)
            capital *= 1 + bet * weight * (gain - bound) / (1 + bound)
        squares.append(((gain - bound) / (1 + bound)) ** 2)
    return capital


def targeted():
    """Nine tenths of the capital are bet towards the level, the rest by the mixture."""
    # a seed whose samples end at the target, at nothing and in between
    chance = random.Random(79)
    found = []
    rows = [(-0.05, 0.025, 60), (0.0, 0.025, 12), (0.0, 0.025, 60), (0.0, 1e-6, 60), (0.1, 0.1, 20)]
    for bound, level, number in rows:
        gains = [-1, 0, 0, 0.5, 1, 1]
        pairs = [(chance.choice([1, 1, 2]), chance.choice(gains)) for _ in range(number)]
        largest = max(weight for weight, _ in pairs)
        cases = [(weight / largest, gain) for weight, gain in pairs]
        unit = [weight * (gain - bound) / (1 + bound) for weight, gain in cases]
        mixture = sum(math.prod(1 + bet * one for one in unit) for bet in BETS) / len(BETS)
        log = math.log(0.9 * targeted_capital(bound, level, cases) + 0.1 * mixture)
        found.append({"bound": bound, "level": level, "pairs": pairs, "log": log})
    return found


def main():
    tables = [beta, ln_gamma, normal, clopper_pearson, mcnemar, tango, wilcoxon, bootstrap]
    tables += [e_process, targeted]
    document = {"scipy": scipy.__version__, **{table.__name__: table() for table in tables}}
    to_plain = lambda value: value.item()
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(document, indent=1, default=to_plain) + "\n")


if __name__ == "__main__":
    main()
