"""A Tuner that credits the rule of a conversation."""

from agent_runtime import Tuner, conversation, state

tuner = Tuner("routes-tuner")


@tuner.tool(annotations={"readOnlyHint": False, "openWorldHint": False})
def judged(right: bool, conversation_id: str) -> int:
    """Counts an answer for the rules that gave it. Gives how many were credited."""
    used = {turn["facts"]["rule"] for turn in conversation().turns if "rule" in turn["facts"]}
    if not used:
        raise ValueError("no turn of the conversation noted its rule: nothing to credit")
    for rule in state()["rules"]:
        if rule["id"] in used:
            rule["right" if right else "wrong"] += 1
    return len(used)


if __name__ == "__main__":
    tuner.run()
