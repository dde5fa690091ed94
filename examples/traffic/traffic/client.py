"""A client of `agent mcp runner` and `agent mcp tuner` over stdio, as an MCP host is one."""

import json
import subprocess
from collections import deque
from types import TracebackType
from typing import Any, Self

PROTOCOL = "2025-11-25"


class Refused(Exception):
    """A call that the server answered with an error."""


class Client:
    """Starts a server of this repository and calls its tools, one after another."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            ["agent", "mcp", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.requests = 0
        about = {"clientInfo": {"name": "traffic", "version": "1"}, "capabilities": {}}
        self.request("initialize", {"protocolVersion": PROTOCOL, **about})
        self._send({"method": "notifications/initialized"})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.stdin.close()
        self.process.wait()

    def call(self, tool: str, **arguments: Any) -> Any:
        """The structured result of a tool. Raises Refused where it is an error."""
        result = self.request("tools/call", {"name": tool, "arguments": arguments})
        if result.get("isError"):
            raise Refused(result["content"][0]["text"])
        return result["structuredContent"]

    def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """The result of a request. Notifications and requests of the server are passed over."""
        self.requests += 1
        self._send({"id": self.requests, "method": method, "params": params})
        for line in self.process.stdout:
            frame = json.loads(line)
            if frame.get("id") == self.requests and "method" not in frame:
                if "error" in frame:
                    raise Refused(frame["error"]["message"])
                return frame["result"]
        raise Refused(f"the server ended with {self.process.wait()} before it answered {method}")

    def _send(self, frame: dict[str, Any]) -> None:
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **frame}) + "\n")
        self.process.stdin.flush()


class LateRewards:
    """Rewards that come some requests after their answers, as those of users do."""

    def __init__(self, tuner: Client, delay: int) -> None:
        self.tuner, self.delay = tuner, delay
        self.waiting: deque[tuple[str, float]] = deque()

    def add(self, conversation: str, value: float) -> None:
        """Notes the reward of a conversation, and gives those whose time has come."""
        self.waiting.append((conversation, value))
        self._give(self.delay)

    def finish(self) -> None:
        """Gives those that are left."""
        self._give(0)

    def _give(self, left: int) -> None:
        while len(self.waiting) > left:
            conversation, value = self.waiting.popleft()
            self.tuner.call("reward", conversation_id=conversation, value=value)
