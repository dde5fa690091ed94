"""A Tuner without a search."""

from agent_runtime import Tuner, state

tuner = Tuner("mixture-tuner")


@tuner.tool(annotations={"readOnlyHint": False, "openWorldHint": False})
def set_scale(scale: float) -> float:
    """Sets the scale by hand."""
    state()["scale"] = scale
    return scale


if __name__ == "__main__":
    tuner.run()
