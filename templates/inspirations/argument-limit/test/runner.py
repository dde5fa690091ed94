"""A Runner that compares all words of a text with each other."""

from agent_runtime import Server

server = Server("repetition")


@server.tool
def repeated(text: str) -> list[str]:
    """The words that occur more than once."""
    words = text.split()
    return sorted({word for word in words if words.count(word) > 1})


if __name__ == "__main__":
    server.run()
