"""A Runner whose source drops every other connection."""

from itertools import cycle

from agent_runtime import Server

server = Server("quotes")

PRICES = {"ABC": 12.5, "XYZ": 80.0}
drops = cycle([True, False])


def fetch(symbol: str) -> float:
    """The price from a source that drops every other connection."""
    if next(drops):
        raise ConnectionResetError("connection reset by peer")
    return PRICES[symbol]


@server.tool(annotations={"readOnlyHint": True, "openWorldHint": True})
def quote(symbol: str) -> float:
    """The price of a share."""
    return fetch(symbol)


if __name__ == "__main__":
    server.run()
