"""The examples of the state as earlier turns of a chat."""

from agent_runtime import state


def shots():
    """A message of the user and one of the assistant for each example."""
    return [
        {"role": role, "content": example[part]}
        for example in state()["examples"]
        for role, part in (("user", "question"), ("assistant", "answer"))
    ]
