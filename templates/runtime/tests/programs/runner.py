"""The Runner that the protocol tests and fixtures drive."""

import asyncio
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Literal

from agent_runtime import Server, conversation, cost, log, note, scratch, state

server = Server("fixture-runner", version="1.2.3", instructions="Ask it things.")
print("printed before run()", flush=True)


@dataclass
class Hit:
    """One topic that was found."""

    topic: str
    score: float
    tags: list[str] = field(default_factory=list)


@server.tool(title="Addition", annotations={"readOnlyHint": True})
def add(a: int, b: int = 2) -> int:
    """Adds two numbers.

    Args:
        a: The first number.
        b: The second number,
            which has a default.
    """
    return a + b


@server.tool
def search(query: str, k: int = 3, mode: Literal["bm25", "exact"] = "bm25") -> list[Hit]:
    """Finds topics under the state's weights."""
    weights = state()["ranking"]["weights"]
    return [Hit(f"{query}-{mode}", weight, []) for weight in weights[:k]]


@server.tool
def ask(question: str, conversation_id: str | None = None) -> dict:
    """Answers, and remembers the questions of the conversation."""
    session = conversation()
    session.data.setdefault("questions", []).append(question)
    note(strategy=state().get("strategy", "none"))
    note(length=len(question))
    return {"answer": question.upper(), "turn": session.turn, "questions": session.data["questions"]}


@server.tool
def keys() -> list[str]:
    return list(state())


@server.tool
def look_up(text: str, number: int) -> list:
    return [state().get(text), state().get(number)]


@server.tool
def whole() -> dict:
    return state()


@server.tool
def change_state() -> None:
    state()["ranking"]["weights"].append(9)


@server.tool
def echo(value: dict) -> dict:
    return value


@server.tool
def surroundings() -> dict:
    session = conversation()
    return {"id": session.id, "turn": session.turn, "data": session.data, "turns": session.turns}


@server.tool
def pay(usd: list[float], fails: bool = False) -> str:
    """Says what it cost, step by step."""
    for part in usd:
        cost(usd=part)
    if fails:
        raise LookupError("and it was for nothing")
    return "paid"


@server.tool
def scratch_names() -> list[str] | None:
    """What lies in the scratch folder."""
    folder = scratch()
    return None if folder is None else sorted(path.name for path in folder.iterdir())


@server.tool
def noise() -> str:
    """Everything that might reach the protocol stream."""
    print("a print")
    sys.stdout.write("a write\n")
    sys.__stdout__.flush()
    os.write(1, b"raw bytes\n")
    subprocess.run([sys.executable, "-c", "print('a grandchild')"], check=True)
    return f"read {sys.stdin.read()!r} and {os.read(0, 10)!r}"


@server.tool
def fail(message: str) -> str:
    raise LookupError(message)


@server.tool
def leave(code: int) -> str:
    sys.exit(code)


@server.tool
def infinite() -> dict:
    return {"score": float("inf")}


@server.tool
def a_set() -> dict:
    return {"members": {1, 2}}


@server.tool
def surrogate() -> str:
    return "half of \ud83d"


@server.tool
def cycle() -> dict:
    knot: dict = {}
    knot["again"] = knot
    return knot


@server.tool
def wrong_type() -> list[int]:
    return [1, "two"]  # type: ignore[list-item]


@server.tool
def nothing() -> None:
    """Has no answer but that it is done."""


@server.tool
def unhinted():
    return [1, 2]


@server.tool
def block(seconds: float) -> str:
    time.sleep(seconds)
    return "woke up"


@server.tool
def spin() -> str:
    """Blocks without any system call, and keeps ordinary handlers from stopping it."""
    while True:
        try:
            sum(range(1000))
        except Exception:
            pass


@server.tool
async def nap(seconds: float, name: str = "") -> dict:
    before = conversation().id
    await asyncio.sleep(seconds)
    log.info("napped", name=name)
    return {"name": name, "same": before == conversation().id, "id": before}


@server.tool
async def block_the_loop(seconds: float) -> None:
    time.sleep(seconds)


@server.tool
def write_log() -> None:
    log.info("a line", number=1, thing=object(), tool="mine")
    log.warning("not a number", value=float("nan"))


if __name__ == "__main__":
    server.run()
