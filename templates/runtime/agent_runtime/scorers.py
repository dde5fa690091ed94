"""`python -m agent_runtime.scorers tests/scorers.py`: serves a file's scorers over JSON-RPC.

A scorer is `def name(case, result) -> float | bool | dict`: a score from 0 to 1, whether it
passed, or a dict with `score`, `passed` and `why`. `result` is the call's CallToolResult.
"""

import os
import sys

from .protocol import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    Refused,
    error_frame,
    result_frame,
)
from .wire import (
    Broken,
    Frames,
    Unserializable,
    Writer,
    decode,
    encode,
    protect_streams,
)

SCORER_FAILED = -32000
# The cosine of equal vectors is 1.0000000000000002 on most machines; it counts as 1.
HAIR = 1e-9


class Scorers:
    """The scorers of one file, by name."""

    def __init__(self, path):
        self.functions = _load(path)

    def answer(self, method, params):
        """The result of one request as JSON text; raises Refused."""
        if method == "list":
            return encode({"scorers": sorted(self.functions)})
        if method != "score":
            raise Refused(METHOD_NOT_FOUND, f"Method not found: {method}; there are list and score")
        if not isinstance(params, dict):
            raise Refused(INVALID_PARAMS, "params must be an object")
        return self._score(params)

    def _score(self, params):
        name = params.get("scorer")
        function = self.functions.get(name) if isinstance(name, str) else None
        if function is None:
            known = ", ".join(sorted(self.functions)) or "none"
            raise Refused(INVALID_PARAMS, f"no scorer {name!r}; the scorers are {known}")
        for key in ("case", "result"):
            if not isinstance(params.get(key), dict):
                raise Refused(INVALID_PARAMS, f"params.{key} must be an object")
        try:
            value = function(params["case"], params["result"])
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise Refused(SCORER_FAILED, _report(name, error)) from None
        try:
            return encode(judged(value))
        except (ValueError, Unserializable) as error:
            raise Refused(SCORER_FAILED, f"scorer {name}: {error}") from None


def judged(value):
    """Converts a scorer's return value to score, passed and why; raises ValueError."""
    if isinstance(value, bool):
        value = {"passed": value}
    elif isinstance(value, (int, float)):
        value = {"score": value}
    elif not isinstance(value, dict):
        raise ValueError(f"returned a {type(value).__name__}; return a number from 0 to 1, a bool or a dict")
    unknown = sorted(set(map(str, value)) - {"score", "passed", "why"})
    if unknown:
        raise ValueError(f"returned the unknown key {unknown[0]!r}; the keys are score, passed and why")
    passed, why = value.get("passed"), value.get("why")
    if passed is not None and not isinstance(passed, bool):
        raise ValueError(f"passed must be a bool or None, not {passed!r}")
    if why is not None and not isinstance(why, str):
        raise ValueError(f"why must be a string or None, not {why!r}")
    score = value.get("score", passed if passed is not None else None)
    # A comparison with NaN is false, so this refuses it as well.
    if not isinstance(score, (int, float)) or not -HAIR <= score <= 1 + HAIR:
        raise ValueError(f"score must be a number from 0 to 1, not {score!r}")
    return {"score": min(max(float(score), 0.0), 1.0), "passed": passed, "why": why}


def _load(path):
    module = type(sys)("scorers")
    module.__file__ = os.path.abspath(path)
    sys.modules["scorers"] = module
    sys.path.insert(0, os.path.dirname(module.__file__))
    with open(path, "rb") as file:
        exec(compile(file.read(), path, "exec"), vars(module))
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == "scorers" and hasattr(value, "__code__")
    }


def _report(name, error):
    """Prints the traceback on stderr; returns its last line for the answer."""
    import traceback

    traceback.print_exception(error)
    return f"scorer {name}: {traceback.format_exception_only(error)[-1].strip()}"


def _answer(scorers, line):
    """The response frame to one line, or None for a notification."""
    identifier = None
    try:
        if isinstance(line, Broken):
            raise Refused(PARSE_ERROR, f"Parse error: {line.reason}")
        if not line.strip():
            return None
        try:
            message = decode(line)
        except ValueError as error:
            identifier = _identifier_of(line)
            raise Refused(PARSE_ERROR, f"Parse error: {error}") from None
        if not isinstance(message, dict) or not isinstance(message.get("method"), str):
            raise Refused(INVALID_REQUEST, "Invalid Request: a message is an object with a method")
        if "id" not in message:
            return None
        identifier = message["id"]
        return result_frame(identifier, scorers.answer(message["method"], message.get("params")))
    except Refused as refused:
        return error_frame(identifier, refused.code, str(refused), refused.data)


def _identifier_of(line):
    """The id of an invalid line, which `agent` writes first: so its request is answered, too."""
    begin, _, rest = line.partition('"id":')
    number, _, _ = rest.partition(",")
    return int(number) if begin == '{"jsonrpc":"2.0",' and number.isdecimal() and len(number) < 20 else None


def serve(path):
    """Answers until stdin ends."""
    incoming, outgoing = protect_streams()
    scorers = Scorers(path)
    frames, writer = Frames(incoming), Writer(outgoing)
    while (lines := frames.read()) is not None:
        for line in lines:
            frame = _answer(scorers, line)
            if frame is not None:
                writer.put(frame)
                writer.flush()


def main(arguments):
    if len(arguments) != 1:
        sys.exit("usage: python -m agent_runtime.scorers PATH/scorers.py")
    try:
        serve(arguments[0])
    except OSError as error:
        sys.exit(f"{arguments[0]}: {error.strerror}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main(sys.argv[1:])
