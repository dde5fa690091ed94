"""The Runner the shim's tests are served: each tool is one way to behave."""

import os
import subprocess
import sys
import time
from pathlib import Path

from agent_runtime import Server, conversation, note, state

server = Server("bench", version="1.0.0")


@server.tool
def weight() -> dict:
    return {"weight": state()["weight"], "process": os.getpid()}


@server.tool
def remember(word: str, conversation_id: str | None = None) -> dict:
    session = conversation()
    words = session.data.setdefault("words", [])
    words.append(word)
    note(word=word)
    return {"turn": session.turn, "words": words}


@server.tool(stateful=True)
def chat(word: str) -> list[str]:
    words = conversation().data.setdefault("words", [])
    words.append(word)
    return words


@server.tool
def block(mark: str) -> None:
    """Reports its process id, then neither ends nor yields."""
    Path(mark).write_text(f"{os.getpid()}\n")
    time.sleep(600)


@server.tool
def spawn() -> int:
    return subprocess.Popen(["sleep", "600"]).pid


@server.tool
def die(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
    os._exit(7)


if __name__ == "__main__":
    server.run()
