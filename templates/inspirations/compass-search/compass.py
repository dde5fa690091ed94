"""A compass search (Hooke and Jeeves, 1961) over the positive numbers at the top of the state."""

from math import exp

from agent_runtime import state

LAST_STEP = 0.01  # of the natural logarithm


def scored(score: float) -> dict[str, float]:
    """Takes the score of the current numbers and sets the next ones to try, which it gives back.

    Args:
        score: how good the current numbers are; more is better
    """
    numbers = {key: value for key, value in state().items() if is_searched(value)}
    if not numbers:
        raise ValueError("the state has no fraction above 0 at its top: nothing to search")
    search = state()["search"]
    if search["direction"] < 0 or score > search["best"]:
        search.update(best=score, centre=numbers, direction=max(0, search["direction"]))
    else:
        search["direction"] += 1
    if search["direction"] >= 2 * len(numbers):
        search.update(direction=0, log_step=search["log_step"] / 2)
    tried = next_try(search)
    state().update(tried)
    return tried


def is_searched(value):
    """Whether a value of the state is a number that can be multiplied."""
    return isinstance(value, float) and value > 0


def next_try(search):
    """The best numbers, one of them multiplied; unchanged at the end of the search."""
    numbers = dict(search["centre"])
    if search["log_step"] >= LAST_STEP:
        name = sorted(numbers)[search["direction"] // 2]
        sign = 1 if search["direction"] % 2 == 0 else -1
        numbers[name] *= exp(sign * search["log_step"])
    return numbers
