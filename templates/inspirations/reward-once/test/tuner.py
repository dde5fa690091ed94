"""A Tuner that keeps the mean reward of each arm."""

from agent_runtime import Tuner, state

tuner = Tuner("headlines-tuner")


@tuner.tool(annotations={"readOnlyHint": False, "openWorldHint": False})
def reward(value: float, arm: str, conversation_id: str | None = None) -> float:
    """Rewards an arm. Gives its mean reward.

    Args:
        value: how good it was, from -1 to 1
        arm: the headline that was shown
        conversation_id: the conversation it was shown in
    """
    known = state()["arms"][arm]
    known["n"] += 1
    known["mean"] += (value - known["mean"]) / known["n"]
    return known["mean"]


if __name__ == "__main__":
    tuner.run()
