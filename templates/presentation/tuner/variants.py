"""Variants of the presentation: what was observed of each, and the shares that follow from it.

The shares are inverse gap weighting (Abe and Long, 1999; Foster and Rakhlin, 2020): with K variants
and a value v of each, one that is behind the best by g gets 1 / (K + gamma g), the best the rest.
gamma grows with the square root of the observations. Each share is a probability that is known
exactly, and none becomes 0.
"""

import math

PLAIN = "plain"  # what is served without a variant
THOUSANDTHS = 1000  # rewards are sums of whole thousandths, which add up exactly
GAMMA = 4.0
# A variant has a mean of 0.5 before it was observed, with the weight of so many observations.
PRIOR_WEIGHT = 2.0
ROUNDS = 100  # of the fit of preferences; it is monotone, and closer than a thousandth by then


def names(overlay: dict) -> list[str]:
    """All that conversations are shown, `plain` first."""
    return [PLAIN, *sorted(overlay.get("variants", {}))]


def expect_known(overlay: dict, name: str) -> str:
    """The name, where there is such a variant."""
    if name not in names(overlay):
        raise ValueError(f"there is no variant {name!r}; there are {', '.join(names(overlay))}")
    return name


def add_reward(learned: dict, name: str, value: float) -> None:
    """Counts a reward from 0 to 1."""
    if not 0 <= value <= 1:
        raise ValueError(f"value is {value}: a reward is from 0 to 1")
    sums = learned.setdefault("rewards", {}).setdefault(name, {"n": 0, "sum": 0})
    sums["n"] += 1
    sums["sum"] += round(value * THOUSANDTHS)


def add_preference(learned: dict, winner: str, loser: str) -> None:
    """Counts a comparison of two variants."""
    if winner == loser:
        raise ValueError(f"winner and loser are both {winner!r}: name two variants")
    wins = learned.setdefault("wins", {}).setdefault(winner, {})
    wins[loser] = wins.get(loser, 0) + 1


def forget(learned: dict, name: str) -> None:
    """Removes what was observed of a variant."""
    learned.get("rewards", {}).pop(name, None)
    wins = learned.get("wins", {})
    wins.pop(name, None)
    for row in wins.values():
        row.pop(name, None)


def share_out(overlay: dict) -> dict[str, float]:
    """Sets the shares of the variants. Gives them with that of `plain`."""
    known = names(overlay)
    learned = overlay.get("learned", {})
    found = {name: value(learned, name, known) for name in known}
    gamma = GAMMA * math.sqrt(sum(observations(learned, name) for name in known))
    best = max(known, key=lambda name: (found[name], name == PLAIN, name))
    shares = {
        name: round(1 / (len(known) + gamma * (found[best] - found[name])), 3)
        for name in known
        if name != best
    }
    shares[best] = round(1 - sum(shares.values()), 3)
    overlay["shares"] = {name: shares[name] for name in known if name != PLAIN}
    return shares


def observations(learned: dict, name: str) -> int:
    """The rewards and the comparisons of a variant."""
    wins = learned.get("wins", {})
    lost = sum(row.get(name, 0) for row in wins.values())
    return learned.get("rewards", {}).get(name, {"n": 0})["n"] + sum(wins.get(name, {}).values()) + lost


def value(learned: dict, name: str, known: list[str]) -> float:
    """How good a variant is, from 0 to 1: its mean reward and its chance of being preferred,
    weighted by how often each was observed."""
    sums = learned.get("rewards", {}).get(name, {"n": 0, "sum": 0})
    compared = observations(learned, name) - sums["n"]
    chance = _chances(learned.get("wins", {}), known)[name] if compared else 0.5
    total = 0.5 * PRIOR_WEIGHT + sums["sum"] / THOUSANDTHS + chance * compared
    return total / (PRIOR_WEIGHT + sums["n"] + compared)


def _chances(wins: dict, known: list[str]) -> dict[str, float]:
    """The mean chance of each to be preferred to another, by the strengths of Bradley and Terry
    (1952), fitted as Hunter (2004) does. Each pair begins with half a win on either side."""
    won = lambda one, other: wins.get(one, {}).get(other, 0) + 0.5  # noqa: E731
    strengths = dict.fromkeys(known, 1.0)
    for _ in range(ROUNDS):
        fitted = {}
        for one in known:
            rest = [other for other in known if other != one]
            played = sum(
                (won(one, other) + won(other, one)) / (strengths[one] + strengths[other])
                for other in rest
            )
            fitted[one] = sum(won(one, other) for other in rest) / played if rest else 1.0
        scale = sum(fitted.values()) / len(fitted)
        strengths = {one: strength / scale for one, strength in fitted.items()}
    chances = {}
    for one in known:
        rest = [other for other in known if other != one]
        each = [strengths[one] / (strengths[one] + strengths[other]) for other in rest]
        chances[one] = sum(each) / len(each) if each else 0.5
    return chances
