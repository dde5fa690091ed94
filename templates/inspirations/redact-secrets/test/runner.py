"""A Runner that shows settings as they are."""

from agent_runtime import Server

server = Server("settings")

SETTINGS = {
    "database": "host = db.example\npassword = correct-horse\nport = 5432",
    "mail": "key sk-test_0123456789abcdef for smtp.example",
}


@server.tool(annotations={"readOnlyHint": True, "openWorldHint": True})
def settings(name: str) -> dict[str, str]:
    """The settings of a service."""
    return {"name": name, "text": SETTINGS[name]}


if __name__ == "__main__":
    server.run()
