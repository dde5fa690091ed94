"""The Tuner that the protocol tests and fixtures drive."""

from agent_runtime import Tuner, conversation, effect, state

tuner = Tuner("fixture-tuner", version="1.2.3", tracks_parts=True)


@tuner.tool
def reward(value: float, strategy: str | None = None, conversation_id: str | None = None) -> dict:
    """Credits a strategy: the one named, else those the conversation's turns used.

    Args:
        value: From -1 to 1.
        strategy: Whom to credit.
        conversation_id: Whose turns say whom to credit.
    """
    used = [turn["facts"]["strategy"] for turn in conversation().turns] or [strategy]
    for name in used:
        statistics = state()["strategies"].setdefault(name, {"n": 0, "sum": 0.0})
        statistics["n"] += 1
        statistics["sum"] += value
    return {"credited": used}


@tuner.tool
def look() -> int:
    return len(state()["strategies"])


@tuner.tool
def reorder() -> None:
    """Takes a key out and puts it back, which changes nothing."""
    state()["ranking"] = state().pop("ranking")


@tuner.tool
def to_float() -> None:
    """Turns 1 into 1.0, which is equal in Python and another state in JSON."""
    state()["count"] = float(state()["count"])


@tuner.tool
def draw() -> float:
    """Sets the count by chance."""
    state()["count"] = effect.random()
    return state()["count"]


@tuner.tool
def ask(url: str) -> str:
    """The body of an answer over HTTP."""
    return effect.http({"url": url})["body"]


@tuner.tool
def break_state() -> None:
    state()["oops"] = {1, 2}


@tuner.tool
def fail_halfway() -> None:
    state()["count"] = 100
    raise RuntimeError("halfway")


if __name__ == "__main__":
    tuner.run()
