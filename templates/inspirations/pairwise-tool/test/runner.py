"""A Runner that ranks its prompts by their strength, where the state has any."""

from agent_runtime import Server, state

server = Server("prompts")

PROMPTS = ["long", "short", "polite"]


@server.tool(annotations={"readOnlyHint": True, "openWorldHint": False})
def prompts() -> list[str]:
    """The prompts, the strongest first."""
    strengths = state().get("strengths", {})
    return sorted(PROMPTS, key=lambda prompt: -strengths.get(prompt, 0.0))


if __name__ == "__main__":
    server.run()
