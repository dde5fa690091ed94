"""The Runner's tool `standings`."""

from agent_runtime import state


def standings() -> list[str]:
    """The items that were compared, the strongest first; equals by name."""
    strengths = state()["strengths"]
    return sorted(strengths, key=lambda item: (-strengths[item], item))
