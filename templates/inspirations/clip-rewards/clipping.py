"""Rewards within their limits."""

from functools import wraps

LOWEST, HIGHEST = -1.0, 1.0
NAMES = ("value", "reward")


def clipped(function):
    """Calls the tool with its reward brought between LOWEST and HIGHEST."""

    @wraps(function)
    def wrapper(**arguments):
        limited = {
            name: min(HIGHEST, max(LOWEST, arguments[name])) for name in NAMES if name in arguments
        }
        return function(**arguments | limited)

    return wrapper
