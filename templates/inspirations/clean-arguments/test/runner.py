"""A Runner that looks names up as they are given."""

from agent_runtime import Server

server = Server("phones")

PHONES = {"Ada King": "101", "Tim O'Hara": "102"}


@server.tool(annotations={"readOnlyHint": True, "openWorldHint": True})
def phone(name: str) -> str:
    """The extension of a person; empty for an unknown one."""
    return PHONES.get(name, "")


if __name__ == "__main__":
    server.run()
