"""A Tuner that has nothing to tune yet but a count."""

from agent_runtime import Tuner, state

tuner = Tuner("names-tuner")


@tuner.tool(annotations={"readOnlyHint": False, "openWorldHint": False})
def count() -> int:
    """Counts a signal."""
    state()["signals"] += 1
    return state()["signals"]


if __name__ == "__main__":
    tuner.run()
