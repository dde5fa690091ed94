"""Numbers of the state that were constants of the code."""

from agent_runtime import state


def tuned(name: str) -> float:
    """The number under a key at the top of the state."""
    return state()[name]
