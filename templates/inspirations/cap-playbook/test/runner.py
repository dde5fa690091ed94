"""A Runner whose prompt is a list of tips, up to the context of its model."""

from agent_runtime import Server, state

server = Server("support")

CONTEXT_CHARACTERS = 800


@server.tool(annotations={"readOnlyHint": True, "openWorldHint": False})
def prompt() -> str:
    """The prompt with all tips."""
    text = "\n".join(tip["text"] for tip in state()["tips"])
    if len(text) > CONTEXT_CHARACTERS:
        raise ValueError(f"the prompt has {len(text)} characters of {CONTEXT_CHARACTERS}")
    return text


if __name__ == "__main__":
    server.run()
