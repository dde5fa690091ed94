"""A Runner that answers an unknown country with a bare KeyError."""

from agent_runtime import Server

server = Server("capitals")

CAPITALS = {"France": "Paris", "Japan": "Tokyo"}


@server.tool(annotations={"readOnlyHint": True, "openWorldHint": True})
def capital(country: str) -> str:
    """The capital of a country.

    Args:
        country: its English name, such as Japan
    """
    return CAPITALS[country]


if __name__ == "__main__":
    server.run()
