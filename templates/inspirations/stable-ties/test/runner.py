"""A Runner whose ranking depends on the order of the votes."""

from collections import Counter

from agent_runtime import Server

server = Server("votes")


@server.tool
def ranking(votes: list[str]) -> list[str]:
    """The names by number of votes."""
    counts = Counter(votes)
    return sorted(counts, key=counts.get, reverse=True)


if __name__ == "__main__":
    server.run()
