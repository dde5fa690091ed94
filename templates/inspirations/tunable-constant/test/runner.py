"""A Runner that finds names by similarity, above a constant threshold."""

from difflib import SequenceMatcher

from agent_runtime import Server

server = Server("names")

NAMES = ["Johannes", "Katharina", "Friedrich"]
MATCH_THRESHOLD = 0.95  # of difflib's ratio


def similarity(one: str, other: str) -> float:
    """How alike two names are, from 0 to 1."""
    return SequenceMatcher(None, one.lower(), other.lower()).ratio()


@server.tool(annotations={"readOnlyHint": True, "openWorldHint": False})
def match(name: str) -> str:
    """The known name that is most alike; empty where none is alike enough."""
    best = max(NAMES, key=lambda known: similarity(known, name))
    return best if similarity(best, name) >= MATCH_THRESHOLD else ""


if __name__ == "__main__":
    server.run()
