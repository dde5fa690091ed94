"""A Runner over a scripted model that answers as the most alike example of its prompt does."""

from agent_runtime import Server

server = Server("labels")


def complete(messages: list[dict]) -> str:
    """A model that imitates: the answer to the earlier question with most words in common."""
    *earlier, last = [message for message in messages if message["role"] != "system"]
    words = set(last["content"].split())
    pairs = list(zip(earlier[::2], earlier[1::2], strict=True))
    alike = [(len(words & set(asked["content"].split())), said["content"]) for asked, said in pairs]
    return max(alike, default=(0, "I cannot say."))[1]


@server.tool(annotations={"readOnlyHint": True, "openWorldHint": False})
def label(text: str) -> str:
    """The label of a message."""
    system = {"role": "system", "content": "Label the message."}
    return complete([system, {"role": "user", "content": text}])


if __name__ == "__main__":
    server.run()
