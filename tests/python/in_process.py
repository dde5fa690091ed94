"""A template's Runner and Tuner in this process: their own tools, with real calls of agent_runtime.

A call gets its state as JSON, as it would from `agent`, or as the value itself, which saves the
time of encoding it: `Tools(..., as_json=False)`.
"""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "templates/runtime"))

import repositories  # noqa: E402
from agent_runtime import call as calls  # noqa: E402
from agent_runtime.wire import decode, encode  # noqa: E402


class Tools:
    """The tools of one repository: its packages other than runner and tuner are on sys.path."""

    def __init__(self, repository, as_json=True):
        if str(repository) not in sys.path:
            sys.path.insert(0, str(repository))
        self.as_json = as_json
        with repositories.alone(repository):
            self.runner = _program(repository, "runner").server
            self.tuner = _program(repository, "tuner").tuner

    def run(self, tool, state, conversation=None, turn=0, revision="0", **arguments):
        """(result, facts) of a Runner tool."""
        meta = {calls.CONVERSATION: {"id": conversation, "turn": turn}} if conversation else {}
        call = self._call(self.runner, tool, arguments, meta)
        value = calls.freeze(decode(encode(state))) if self.as_json else state
        call.reads = set()
        call.state = calls.State(value, revision, call.reads)
        return self._result(call, arguments), call.facts

    def tune(self, tool, state, conversation=None, turns=(), **arguments):
        """(result, new state) of a Tuner tool."""
        meta = (
            {calls.CONVERSATION: {"id": conversation, "turns": list(turns)}} if conversation else {}
        )
        call = self._call(self.tuner, tool, arguments, meta)
        call.state = decode(encode(state)) if self.as_json else state
        result = self._result(call, arguments)
        return result, decode(encode(call.state)) if self.as_json else call.state

    def _call(self, server, tool, arguments, meta):
        return calls.Call(server, server.tools[tool], 1, arguments, meta, True, None)

    def _result(self, call, arguments):
        token = calls.current.set(call)
        try:
            return call.tool.function(**arguments)
        finally:
            calls.current.reset(token)


def _program(repository, package):
    """Its __main__ under a name of its own: other repositories have packages of the same name."""
    path = Path(repository) / package / "__main__.py"
    name = f"{Path(repository).name}_{package}".replace("-", "_")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
