"""A Tuner that collects tips."""

from agent_runtime import Tuner, state

tuner = Tuner("support-tuner")


@tuner.tool(annotations={"readOnlyHint": False, "openWorldHint": False})
def tip(text: str, helpful: int = 0) -> int:
    """Adds a tip. Gives how many there are."""
    state()["tips"].append({"text": text, "helpful": helpful})
    return len(state()["tips"])


if __name__ == "__main__":
    tuner.run()
