"""The Runner's tool: choose."""

from typing import TypedDict

from agent_runtime import Server, conversation, note, state

from bandit import draw, policy, window
from bandit.features import vector

server = Server("router")


class Choice(TypedDict):
    """The arm that was chosen, with which probability, and what is known of each arm.

    `call` names the choice in a later reward; it is null outside of a conversation.
    """

    arm: str
    propensity: float
    propensities: dict[str, float]
    estimates: dict[str, float]
    call: str | None


@server.tool(
    stateful=True,
    annotations={"readOnlyHint": True, "idempotentHint": False, "openWorldHint": False},
)
def choose(
    context: dict[str, float | str] | None = None, conversation_id: str | None = None
) -> Choice:
    """Chooses an arm for a request, by what earlier rewards say of each.

    Args:
        context: a value for each feature that the state lists
        conversation_id: names the conversation; rewards are given by it
    """
    known, talk = state(), conversation()
    x = vector(known["features"], context)
    names = list(known["arms"])
    now = [
        window.current(known["arms"][name], known["policy"]["window"], known["steps"])
        for name in names
    ]
    estimates, chances = policy.evaluate(known["policy"], now, x)
    parts = dict(zip(names, draw.shares(chances), strict=True))
    chosen = draw.arm(parts, [known.revision, talk.id, talk.turn, x])
    propensities = {name: part / draw.PARTS for name, part in parts.items()}
    # the facts that off-policy evaluation and the Tuner read: README.md lists them
    note(
        arm=chosen,
        propensity=propensities[chosen],
        propensities=propensities,
        context=context or {},
        turn=talk.turn,
    )
    return {
        "arm": chosen,
        "propensity": propensities[chosen],
        "propensities": propensities,
        "estimates": {name: round(value, 6) for name, value in zip(names, estimates, strict=True)},
        "call": f"{talk.id}/{talk.turn}" if talk.id is not None else None,
    }


if __name__ == "__main__":
    server.run()
