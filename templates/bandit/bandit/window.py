"""Windows: which rewards count, and how much. They are for arms whose rewards drift.

An arm's own sums are over all of its rewards. Beside them, `windowed` has the sums of the window
that policy.window sets; a window begins empty.

- sliding: the last `size` rewards count. The sums are at one key; a reward that leaves the window
  is subtracted.
- discount: a reward counts gamma times less with each later one, of any arm: D-UCB (Garivier &
  Moulines, 2011) and D-LinUCB (Russac, Vernade & Cappé, 2019). Sums whose terms all shrink at each
  step could not be added to another machine's. So a term is multiplied by gamma⁻ᵏ instead, with k
  the steps since its epoch began, and what is read is multiplied by gamma for each step since then.
  The sums of the current epoch and the one before count; a reward in an older one has a weight of
  less than 1/1000.
"""

from collections.abc import Mapping
from functools import lru_cache
from math import ceil, log
from typing import Any

LEAST_WEIGHT = 1e-3
SLIDING = "last/"

Window = Mapping[str, Any]
Sums = Mapping[str, Any]


def place(window: Window, step: int) -> tuple[str, float]:
    """The key in `windowed` where the reward of this step is added, and its weight there."""
    if window["kind"] == "sliding":
        return f"{SLIDING}{window['size']}", 1
    gamma = window["gamma"]
    epoch, since = divmod(step, epoch_length(gamma))
    return f"{gamma}/{epoch}", gamma**-since


def counting(window: Window, steps: int) -> dict[str, float]:
    """The keys in `windowed` that count at this step, with the factor of their sums."""
    if window["kind"] == "sliding":
        return {place(window, steps)[0]: 1}
    gamma, length = window["gamma"], epoch_length(window["gamma"])
    epoch = steps // length
    epochs = range(max(epoch - 1, 0), epoch + 1)
    return {f"{gamma}/{one}": gamma ** (steps - one * length) for one in epochs}


def current(arm: Sums, window: Window, steps: int) -> Sums:
    """The sums of an arm as they count at this step."""
    if window["kind"] == "none":
        return arm
    windowed, factors = arm.get("windowed", {}), counting(window, steps)
    parts = [(windowed[key], factor) for key, factor in factors.items() if key in windowed]
    if len(parts) == 1 and parts[0][1] == 1:
        return parts[0][0]
    total: dict[str, Any] = {
        key: sum(part[key] * factor for part, factor in parts) for key in ("n", "sum", "squares")
    }
    for key in ("A", "b"):
        rows = [[value * factor for value in part[key]] for part, factor in parts if key in part]
        if rows:
            total[key] = list(map(sum, zip(*rows, strict=True)))
    return total


@lru_cache(maxsize=8)
def epoch_length(gamma: float) -> int:
    """The number of steps after which a reward's weight is the least that counts."""
    return ceil(log(LEAST_WEIGHT) / log(gamma))


def empty() -> dict[str, Any]:
    """The sums of no reward."""
    return {"n": 0, "sum": 0, "squares": 0}
