"""The Runner's tool: estimate."""

from typing import TypedDict

from agent_runtime import Server, state

server = Server("time-estimates")


class Estimate(TypedDict):
    """How long a task will take in minutes, and how many past ones say so."""

    minutes: float
    seen: int


@server.tool(annotations={"readOnlyHint": True, "openWorldHint": False})
def estimate(task: str) -> Estimate:
    """Estimates how long a task takes, from how long such tasks took before.

    Args:
        task: the kind of task, such as "review"
    """
    if not task.strip():
        raise ValueError("task is empty: name the kind of task, such as review")
    known = state()["tasks"].get(task)
    if known is None:
        return {"minutes": state()["usual_minutes"], "seen": 0}
    return {"minutes": known["minutes"], "seen": known["seen"]}


if __name__ == "__main__":
    server.run()
