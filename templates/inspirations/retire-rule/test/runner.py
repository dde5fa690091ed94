"""A Runner that answers by the first rule that fits."""

from agent_runtime import Server, state

server = Server("routes")


@server.tool(annotations={"readOnlyHint": True, "openWorldHint": False})
def route(text: str) -> str:
    """The team for a message."""
    for rule in state()["rules"]:
        if rule["word"] in text:
            return rule["team"]
    return "desk"


if __name__ == "__main__":
    server.run()
