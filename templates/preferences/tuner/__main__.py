"""The Tuner's tools: prefer, withdraw, add and retire."""

from typing import TypedDict

from agent_runtime import Tuner, conversation, state

from tuner import judgements

tuner = Tuner("preferences-tuner", tracks_parts=True)

CHANGES = {"readOnlyHint": False, "destructiveHint": False, "openWorldHint": False}


class Counted(TypedDict):
    """The id of the judgement, for a correction, and how many were given so far."""

    judgement_id: str
    judged: int


@tuner.tool(annotations=CHANGES)
def prefer(
    winner: str,
    loser: str,
    tie: bool = False,
    conversation_id: str | None = None,
    judge: str = "",
    judgement_id: str = "",
) -> Counted:
    """Counts a judgement of two items. With the id of an earlier judgement it corrects that one.

    Args:
        winner: the name of the item that was preferred
        loser: the name of the other item
        tie: true when neither was preferred; the order of the names is then of no account
        conversation_id: the conversation of the judgement; its judgements are one cluster
        judge: names the judge, whose judgements are the cluster in place of the conversation's
        judgement_id: names the judgement, so that it can be corrected
    """
    outcome = judgements.Outcome(winner, loser, tie)
    cluster = judge or conversation().id or ""
    name = judgements.judge(state(), outcome, cluster, judgement_id)
    return {"judgement_id": name, "judged": state()["judged"]}


@tuner.tool(annotations=CHANGES)
def withdraw(judgement_id: str) -> Counted:
    """Takes a judgement back, as if it had not been counted.

    Args:
        judgement_id: the id that `prefer` was given or answered with
    """
    judgements.withdraw(state(), judgement_id)
    return {"judgement_id": judgement_id, "judged": state()["judged"]}


@tuner.tool(annotations=CHANGES)
def add(item: str, text: str = "") -> list[str]:
    """Adds an item to the ranking, such as a prompt, an answer or a model. Gives all names.

    Args:
        item: its name
        text: what the name stands for, such as the text of a prompt
    """
    judgements.add(state(), item, text)
    return sorted(state()["items"])


@tuner.tool(annotations=CHANGES)
def retire(item: str) -> list[str]:
    """Takes an item out of the ranking; `add` takes it back. Gives the names that are ranked.

    Args:
        item: its name
    """
    judgements.retire(state(), item)
    return sorted(name for name, one in state()["items"].items() if not one.get("retired"))


if __name__ == "__main__":
    tuner.run()
