"""A Tuner that counts praise only."""

from agent_runtime import Tuner, state

tuner = Tuner("labels-tuner")


@tuner.tool(annotations={"readOnlyHint": False, "openWorldHint": False})
def praise() -> int:
    """Counts praise."""
    state()["praise"] += 1
    return state()["praise"]


if __name__ == "__main__":
    tuner.run()
