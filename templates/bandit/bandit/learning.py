"""Learning: a reward is added to the sums of its arm, replaced when it is corrected.

The functions change the state that they are given, by the signal alone. The sums of an arm are over
its rewards r and their contexts x, in whole millionths but for the count n:

    n = Σ 1    sum = Σ r    squares = Σ r²    A = Σ x xᵀ    b = Σ r x
"""

from collections.abc import Sequence
from operator import add as plus
from typing import Any

from bandit import window as windows
from bandit.features import UNIT, thousandths

IN_0_TO_1 = ("thompson-beta", "ucb1")
DECIMALS = 6  # of a discounted count

State = dict[str, Any]
Sums = dict[str, Any]


def learn(state: State, call: str | None, arm: str, x: Sequence[int], value: float) -> None:
    """Counts the reward of a choice. An earlier reward of the same call is replaced.

    Args:
        state: the state, changed in place
        call: names the choice; without a name the reward cannot be corrected
        arm: the arm that was chosen
        x: the context of the choice, as `features.vector` gives it
        value: the reward
    """
    if call in state["recent"]:
        _check_same(call, state["recent"][call], arm, x)
        correct(state, call, value)
        return
    if arm not in state["arms"]:
        raise ValueError(f"arm is {arm!r}: the state has {', '.join(state['arms'])}")
    reward = _reward(state, value)
    state["steps"] += 1
    record = {"arm": arm, "reward": reward, "step": state["steps"], "x": list(x)}
    _add(state["arms"][arm], record, 1)
    _add_to_window(state, record)
    if call is not None:
        state["recent"][call] = record
    elif record.get("window", "").startswith(windows.SLIDING):
        # kept all the same: it will be subtracted
        state["recent"][f"#{state['steps']}"] = record
    _forget(state)


def correct(state: State, call: str, value: float) -> None:
    """Replaces the reward of a call in `recent`. It counts for the time of the first reward."""
    reward, record = _reward(state, value), state["recent"][call]
    if record["arm"] not in state["arms"]:
        raise ValueError(f"call {call} chose {record['arm']}, an arm that the state no longer has")
    _move(state["arms"][record["arm"]], record, reward, 1)
    sums = _sums_in_window(state, record)
    if sums is not None:
        _move(sums, record, reward, windows.place(state["policy"]["window"], record["step"])[1])
    record["reward"] = reward


def _check_same(call: str, record: dict[str, Any], arm: str, x: Sequence[int]) -> None:
    if record["arm"] != arm or record["x"] != list(x):
        raise ValueError(
            f"call {call} was rewarded before, as a choice of {record['arm']}, with another arm or "
            "context than now: a correction changes only the value"
        )


def _reward(state: State, value: float) -> int:
    algorithm = state["policy"]["algorithm"]
    if algorithm in IN_0_TO_1 and not 0 <= value <= 1:
        raise ValueError(f"value is {value}: {algorithm} takes rewards from 0 to 1")
    return thousandths(value, "value")


def _add(sums: Sums, record: dict[str, Any], weight: float) -> None:
    """Adds the terms of a reward with this weight; -1 takes back what 1 added."""
    reward, x = record["reward"], record["x"]
    n = sums["n"] + weight
    sums["n"] = n if isinstance(n, int) else round(n, DECIMALS)
    sums["sum"] += round(weight * reward * UNIT)
    sums["squares"] += round(weight * reward * reward)
    if len(x) == 1:
        return  # the intercept alone: A would be n, and b the sum
    size = len(x)
    moment = sums.get("b") or [0] * size
    if len(moment) != size:
        raise ValueError(
            f"the context has {size - 1} numbers and the arm's sums have {len(moment) - 1}: "
            "a change of the features needs arms without A, b and windowed"
        )
    sums["A"] = list(map(plus, sums.get("A") or [0] * _packed(size), _products(x, weight)))
    sums["b"] = list(map(plus, moment, [round(weight * reward * value) for value in x]))


def _packed(size: int) -> int:
    return size * (size + 1) // 2


def _products(x: Sequence[int], weight: float) -> list[int]:
    """The lower triangle of x xᵀ, row by row."""
    products = [one * other for at, one in enumerate(x) for other in x[: at + 1]]
    return products if weight == 1 else [round(weight * product) for product in products]


def _fits(sums: Sums, record: dict[str, Any]) -> bool:
    """Whether the sums have a record's terms: not once they began anew with other features."""
    size = len(record["x"])
    return len(sums.get("b", ())) == (size if size > 1 else 0)


def _move(sums: Sums, record: dict[str, Any], reward: int, weight: float) -> None:
    """Changes the reward of a record that was added with this weight."""
    for sign, value in ((-1, record["reward"]), (1, reward)):
        sums["sum"] += sign * round(weight * value * UNIT)
        sums["squares"] += sign * round(weight * value * value)
        if len(record["x"]) > 1 and _fits(sums, record):
            terms = [sign * round(weight * value * one) for one in record["x"]]
            sums["b"] = list(map(plus, sums["b"], terms))


# Windows and the memory.


def _add_to_window(state: State, record: dict[str, Any]) -> None:
    """Adds a new record to the sums of the window that is set, and drops those of others."""
    window, arm = state["policy"]["window"], state["arms"][record["arm"]]
    if window["kind"] == "none":
        arm.pop("windowed", None)
        return
    key, weight = windows.place(window, record["step"])
    counting = windows.counting(window, state["steps"])
    kept = {old: sums for old, sums in arm.get("windowed", {}).items() if old in counting}
    arm["windowed"], record["window"] = kept, key
    _add(kept.setdefault(key, windows.empty()), record, weight)


def _sums_in_window(state: State, record: dict[str, Any]) -> Sums | None:
    """The windowed sums that have a record's terms; None where none that count have them."""
    window, arm = state["policy"]["window"], state["arms"].get(record["arm"], {})
    if window["kind"] == "none":
        return None
    key, _ = windows.place(window, record["step"])
    sums = arm.get("windowed", {}).get(key) if record.get("window") == key else None
    return sums if sums is not None and _fits(sums, record) else None


def _forget(state: State) -> None:
    """Drops the oldest rewards beyond the memory, or beyond the window where that slides."""
    recent, window = state["recent"], state["policy"]["window"]
    slides = window["kind"] == "sliding"
    excess = len(recent) - (window["size"] if slides else state["policy"]["memory"])
    if excess <= 0:
        return
    for call in sorted(recent, key=lambda call: (recent[call]["step"], call))[:excess]:
        record = recent.pop(call)
        sums = _sums_in_window(state, record) if slides else None
        if sums is not None:
            _add(sums, record, -1)
