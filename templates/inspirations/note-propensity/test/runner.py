"""A Runner that shows one of two headlines by chance."""

import random

from agent_runtime import Server, state

server = Server("headlines")


@server.tool(annotations={"readOnlyHint": True, "openWorldHint": False})
def headline() -> str:
    """A headline, by chance."""
    names, shares = list(state()["shares"]), list(state()["shares"].values())
    return random.choices(names, weights=shares)[0]


@server.tool(annotations={"readOnlyHint": True, "openWorldHint": False})
def estimate() -> float:
    """What always showing `new` would earn: the inverse propensity score of the record."""
    record = state()["record"]
    return record["sum"] / max(1, record["n"])


if __name__ == "__main__":
    server.run()
