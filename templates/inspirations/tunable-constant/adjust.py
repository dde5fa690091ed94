"""A tool that multiplies a number of the state."""

from agent_runtime import state


def adjust(name: str, factor: float) -> float:
    """Multiplies a number at the top of the state. Gives its new value.

    Args:
        name: its key
        factor: above 1 to raise it, below 1 to lower it
    """
    numbers = [key for key, value in state().items() if is_number(value)]
    if name not in numbers:
        raise ValueError(f"name is {name!r}: the state's numbers are {', '.join(sorted(numbers))}")
    if not 0 < factor <= 10:
        raise ValueError(f"factor is {factor}: give a number above 0, 10 at most")
    state()[name] = round(state()[name] * factor, 9)
    return state()[name]


def is_number(value):
    """Whether a value of the state may be multiplied."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
