"""A Runner whose loss depends on two numbers of its state."""

from math import log

from agent_runtime import Server, state

server = Server("mixture")


@server.tool(annotations={"readOnlyHint": True, "openWorldHint": False})
def loss() -> float:
    """How far the numbers are from the best ones, 0.2 and 6.4; in squared logarithms."""
    return log(state()["share"] / 0.2) ** 2 + log(state()["scale"] / 6.4) ** 2


if __name__ == "__main__":
    server.run()
