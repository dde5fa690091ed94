"""The Tuner's tool: took. It changes only `state()`; the runtime returns the new state."""

from agent_runtime import Tuner, state

tuner = Tuner("time-estimates-tuner", tracks_parts=True)

LONGEST_MINUTES = 100_000


@tuner.tool(annotations={"readOnlyHint": False, "destructiveHint": False, "openWorldHint": False})
def took(task: str, minutes: float) -> float:
    """Learns how long a task took. Gives the new estimate for its kind, in minutes.

    Args:
        task: the kind of task, such as "review"
        minutes: how long it took
    """
    if not task.strip():
        raise ValueError("task is empty: name the kind of task, such as review")
    if not 0 <= minutes <= LONGEST_MINUTES:
        raise ValueError(f"minutes is {minutes}: give a number from 0 to {LONGEST_MINUTES}")
    known = state()["tasks"].setdefault(task, {"minutes": 0.0, "seen": 0})
    known["seen"] += 1
    known["minutes"] = round(known["minutes"] + (minutes - known["minutes"]) / known["seen"], 3)
    return known["minutes"]


if __name__ == "__main__":
    tuner.run()
