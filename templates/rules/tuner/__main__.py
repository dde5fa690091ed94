"""The Tuner's tools: labelled and induce."""

from typing import TypedDict

from agent_runtime import Tuner, state

from tuner import learning

tuner = Tuner("rules-tuner", tracks_parts=True)

CHANGES = {"readOnlyHint": False, "destructiveHint": False, "openWorldHint": False}


class Learned(TypedDict):
    """The id of the example, for a correction, and the counts after it."""

    example_id: str
    seen: int
    rules: int


@tuner.tool(annotations=CHANGES)
def labelled(
    features: dict[str, float | str | bool | list[str]], label: str, example_id: str = ""
) -> Learned:
    """Learns from an example whose label is known. With the id of a kept one it corrects that.

    Args:
        features: numbers, texts, truth values and lists of texts by name
        label: the right answer for them
        example_id: names the example, so that it can be corrected
    """
    name = learning.learn(state(), features, label, example_id)
    rules = len(learning.active(state()))
    return {"example_id": name, "seen": state()["seen"], "rules": rules}


@tuner.tool(annotations=CHANGES)
def induce() -> int:
    """Induces the rules from the kept examples now, before the next time. Gives their number."""
    learning.renew(state())
    return len(learning.active(state()))


if __name__ == "__main__":
    tuner.run()
