"""A Runner that serves the arm with the best mean reward."""

from agent_runtime import Server, note, state

server = Server("headlines")


@server.tool(annotations={"readOnlyHint": True, "openWorldHint": False})
def best() -> str:
    """The headline with the best mean reward."""
    arms = state()["arms"]
    arm = max(arms, key=lambda arm: arms[arm]["mean"])
    note(arm=arm)
    return arm


if __name__ == "__main__":
    server.run()
