"""A Runner with two models, the first of which is down."""

from agent_runtime import Server

server = Server("translator")

MODELS = ("large", "small")
WORDS = {"bread": "pain", "water": "eau"}


def complete(model: str, prompt: str) -> str:
    """The answer of a model; the large one is overloaded."""
    if model == "large":
        raise ConnectionError("503: the model is overloaded")
    return WORDS[prompt]


@server.tool(annotations={"readOnlyHint": True, "openWorldHint": True})
def translate(word: str) -> str:
    """A word in French."""
    return complete(MODELS[0], word)


if __name__ == "__main__":
    server.run()
