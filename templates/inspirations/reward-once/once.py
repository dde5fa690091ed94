"""Signals that count once for each conversation."""

from functools import wraps

from agent_runtime import conversation, state

MOST_REMEMBERED = 1000


def once(function):
    """Refuses a second signal of the same tool for the same conversation."""

    @wraps(function)
    def wrapper(**arguments):
        talk = conversation().id
        if talk is not None:
            remember(state()["rewarded"], f"{function.__name__} {talk}", talk)
        return function(**arguments)

    return wrapper


def remember(rewarded, key, talk):
    """Adds the key, and drops the oldest above the limit; ValueError where it is there already."""
    if key in rewarded:
        raise ValueError(f"conversation {talk!r} has its reward already: it counts once")
    rewarded[key] = max(rewarded.values(), default=0) + 1
    if len(rewarded) > MOST_REMEMBERED:
        del rewarded[min(rewarded, key=rewarded.get)]
