"""The tool `about`: information on the running agent, for people and health checks."""

import platform
from typing import TypedDict

from agent_runtime import state


class About(TypedDict):
    """The Python version, the state's schema version, and the size of each part of the state."""

    python: str
    schema_version: int
    state: dict[str, int]


def about() -> About:
    """Says which Python runs this agent and what state it is under."""
    learned = {key: state()[key] for key in state()}
    sizes = {key: len(part) for key, part in learned.items() if isinstance(part, dict | list)}
    return {"python": platform.python_version(), "schema_version": learned.get("schema_version", 0), "state": sizes}
