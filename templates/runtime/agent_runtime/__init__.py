"""The package of Runners and Tuners: typed functions as MCP tools, with a versioned state.

from agent_runtime import Server, state

server = Server("greeter")

@server.tool
def greet(name: str) -> str:
    return f"{state()['greeting']}, {name}"

if __name__ == "__main__":
    server.run()
"""

from .call import conversation, cost, data, note, scratch, state
from .effects import effect
from .log import log
from .schema import DefinitionError
from .server import Server, Tuner

__all__ = [
    "DefinitionError",
    "Server",
    "Tuner",
    "conversation",
    "cost",
    "data",
    "effect",
    "log",
    "note",
    "scratch",
    "state",
]
