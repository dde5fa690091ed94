"""The Tuner's tool: reward. It changes only `state()`; the runtime returns the new state."""

from typing import TypedDict

from agent_runtime import Tuner, conversation, state

from bandit import learning
from bandit.features import vector

tuner = Tuner("router-tuner", tracks_parts=True)


class Learned(TypedDict):
    """The arm that the reward counts for, its number of rewards and their mean."""

    arm: str
    n: float
    mean: float


@tuner.tool(annotations={"readOnlyHint": False, "destructiveHint": False, "openWorldHint": False})
def reward(
    value: float,
    conversation_id: str | None = None,
    turn: int | None = None,
    call: str | None = None,
    arm: str | None = None,
    context: dict[str, float | str] | None = None,
) -> Learned:
    """Learns the reward of a choice. A later reward of the same choice replaces the earlier one.

    The choice is named by its conversation, or by `call` with the arm and the context. `call` alone
    corrects a reward that the state's memory still has.

    Args:
        value: the reward; three decimals count
        conversation_id: the conversation in which the choice was made
        turn: the turn of the conversation; without it, its last choice
        call: the name of the choice: `call` of its result, or a name of your own
        arm: the arm that was chosen, where no conversation is named
        context: the context of the choice, where no conversation is named
    """
    known = state()
    if conversation().id is not None:
        if arm is not None or call is not None or context is not None:
            raise ValueError("both a conversation and call, arm or context are given: give one")
        chosen = _choice_of(turn)
        call, arm, context = chosen["call"], chosen["arm"], chosen["context"]
    if arm is not None:
        learning.learn(known, call, arm, vector(known["features"], context), value)
    elif call in known["recent"]:
        arm = known["recent"][call]["arm"]
        learning.correct(known, call, value)
    else:
        raise ValueError(_unnamed(call))
    return _learned(arm, known["arms"][arm])


def _learned(arm: str, sums: dict) -> Learned:
    mean = sums["sum"] / sums["n"] / 1_000_000 if sums["n"] > 0 else 0.0
    return {"arm": arm, "n": sums["n"], "mean": round(mean, 6)}


def _choice_of(turn: int | None) -> dict:
    """The choice of the conversation that a reward is for: its arm, its context and its name."""
    talk = conversation()
    choices = {
        facts["turn"]: facts
        for facts in (shown.get("facts", {}) for shown in talk.turns)
        if "arm" in facts and "turn" in facts
    }
    if not choices:
        raise ValueError(f"conversation {talk.id!r} has no turn in which an arm was chosen")
    turn = max(choices) if turn is None else turn
    if turn not in choices:
        known = ", ".join(map(str, choices))
        raise ValueError(f"turn is {turn}: conversation {talk.id!r} has choices at {known}")
    facts = choices[turn]
    return {"call": f"{talk.id}/{turn}", "arm": facts["arm"], "context": facts["context"]}


def _unnamed(call: str | None) -> str:
    if call is None:
        return "name the choice: by conversation_id, or by arm and context"
    return (
        f"call is {call!r}, of which no recent reward is known: "
        "give conversation_id, or arm and context as well"
    )


if __name__ == "__main__":
    tuner.run()
