"""A Runner that sorts messages by words, and always decides."""

from typing import TypedDict

from agent_runtime import Server

server = Server("tickets")

WORDS = {"billing": {"invoice", "refund", "charge"}, "bug": {"crash", "error", "broken"}}


class Sorted(TypedDict):
    """A team, and the share of the known words that are its own."""

    team: str
    confidence: float


@server.tool(annotations={"readOnlyHint": True, "openWorldHint": True})
def team(text: str) -> Sorted:
    """The team for a message."""
    words = set(text.lower().split())
    hits = {name: len(words & known) for name, known in WORDS.items()}
    best = max(hits, key=hits.get)
    return {"team": best, "confidence": hits[best] / max(1, sum(hits.values()))}


if __name__ == "__main__":
    server.run()
