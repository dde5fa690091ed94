"""A Runner that asks an expensive source for each answer, and counts."""

from collections import Counter

from agent_runtime import Server

server = Server("dictionary")

MEANINGS = {"tare": "the weight of a container", "fen": "a wet lowland"}
requests = Counter()


@server.tool(annotations={"readOnlyHint": True, "openWorldHint": True})
def meaning(word: str) -> str:
    """What a word means."""
    requests[word] += 1
    return MEANINGS[word]


@server.tool
def requested(word: str) -> int:
    """How often the source was asked for a word."""
    return requests[word]


if __name__ == "__main__":
    server.run()
