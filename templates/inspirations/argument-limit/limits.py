"""Limits of the arguments of all tools."""

from functools import wraps

MOST_CHARACTERS = 4000
MOST_ITEMS = 1000


def limited(function):
    """Refuses texts and lists that are too large, with a message that says how to mend it."""

    @wraps(function)
    def wrapper(**arguments):
        for name, value in arguments.items():
            check(name, value)
        return function(**arguments)

    return wrapper


def check(name, value):
    """ValueError where an argument is larger than its limit."""
    if isinstance(value, str) and len(value) > MOST_CHARACTERS:
        raise ValueError(f"{name} has {len(value)} characters: give {MOST_CHARACTERS} at most")
    if isinstance(value, (list, tuple, set, dict)) and len(value) > MOST_ITEMS:
        raise ValueError(f"{name} has {len(value)} items: give {MOST_ITEMS} at most")
