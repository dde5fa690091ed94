"""A Tuner that estimates what always showing `new` would earn."""

from agent_runtime import Tuner, conversation, state

tuner = Tuner("headlines-tuner")


@tuner.tool(annotations={"readOnlyHint": False, "openWorldHint": False})
def reward(value: float, conversation_id: str) -> float:
    """Counts a reward, weighted by the inverse propensity of the headline that was shown."""
    facts = conversation().turns[-1]["facts"]
    if "propensity" not in facts:
        raise ValueError("the turn noted no propensity: the reward cannot be weighted")
    record = state()["record"]
    record["n"] += 1
    record["sum"] += value / facts["propensity"] if facts["arm"] == "new" else 0.0
    return record["sum"] / record["n"]


if __name__ == "__main__":
    tuner.run()
