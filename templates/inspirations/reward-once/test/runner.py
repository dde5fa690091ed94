"""A Runner that serves the arm with the highest sum of rewards."""

from agent_runtime import Server, note, state

server = Server("headlines")


@server.tool(annotations={"readOnlyHint": True, "openWorldHint": False})
def best() -> str:
    """The headline with the highest sum of rewards."""
    arms = state()["arms"]
    arm = max(arms, key=lambda arm: arms[arm]["mean"] * arms[arm]["n"])
    note(arm=arm)
    return arm


if __name__ == "__main__":
    server.run()
