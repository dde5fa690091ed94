"""A Runner that requires the number of results."""

from agent_runtime import Server

server = Server("rivers")

RIVERS = ["Rhine", "Rhone", "Danube", "Don", "Dnieper", "Elbe", "Ebro", "Loire"]


@server.tool
def rivers(start: str, k: int) -> list[str]:
    """The rivers whose name starts with a text."""
    return [name for name in RIVERS if name.startswith(start)][:k]


if __name__ == "__main__":
    server.run()
