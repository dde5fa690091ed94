"""A Runner that serves the arm with the best mean reward."""

from agent_runtime import Server, state

server = Server("headlines")


def choose(arms: dict) -> str:
    """The arm to show."""
    return max(arms, key=lambda arm: arms[arm]["mean"])


@server.tool(annotations={"readOnlyHint": True, "openWorldHint": False})
def tried(arm: str, rounds: int) -> bool:
    """Whether an arm is shown in so many rounds."""
    return any(choose(state()["arms"]) == arm for _ in range(rounds))


if __name__ == "__main__":
    server.run()
