"""The Runner's tools: route, variants."""

from typing import TypedDict

from agent_runtime import Server, conversation, cost, note, state

from model import chat
from runner import serving
from runner.endpoint import ask

server = Server("prompts")


class Routed(TypedDict):
    """The label of a message, the variant that gave it, and what the call cost in US dollars."""

    label: str
    variant: str
    usd: float


class Variant(TypedDict):
    """A variant: its rewards, the share of new conversations it gets, and its score on a tier."""

    name: str
    prompt: str
    model: str
    temperature: float
    shots: int
    n: int
    mean: float | None
    share: float
    score: float | None
    parent: str


@server.tool(annotations={"readOnlyHint": True, "openWorldHint": True})
def route(question: str, conversation_id: str | None = None) -> Routed:
    """Names the department that a customer's message belongs to.

    Args:
        question: the message
        conversation_id: the conversation it belongs to; it keeps one variant of the prompt
    """
    if not question.strip():
        raise ValueError("question is empty: give the customer's message")
    talk = conversation()
    name = state()["served"]
    if talk.id is not None:
        chances = serving.shares(state())
        name = talk.data.get("variant") or serving.assigned(chances, talk.id)
        talk.data["variant"] = name
        note(arm=name, propensity=chances.get(name, 0.0), propensities=chances)
    reply = ask(state(), state()["variants"][name], question)
    cost(usd=reply.usd)
    note(variant=name, question=question, label=chat.label(state(), reply.text))
    return {"label": chat.label(state(), reply.text), "variant": name, "usd": reply.usd}


@server.tool(annotations={"readOnlyHint": True, "openWorldHint": False})
def variants() -> list[Variant]:
    """Lists the variants of the prompt, the served one first."""
    chances = serving.shares(state())
    named = sorted(state()["variants"].items(), key=lambda item: (item[0] != state()["served"], item))
    return [
        {
            "name": name,
            "prompt": one["prompt"],
            "model": one["model"],
            "temperature": one["temperature"],
            "shots": len(one["shots"]),
            "n": one["n"],
            "mean": one["sum"] / one["n"] if one["n"] else None,
            "share": chances.get(name, 0.0),
            "score": one["score"],
            "parent": one["parent"],
        }
        for name, one in named
    ]


if __name__ == "__main__":
    server.run()
