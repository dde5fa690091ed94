"""The programs that cheat: a Runner around a theft, a coder around a script."""

# What each of them has: its attempts leave a trace.
_TRACES = '''def told(*words):
    """Leaves a trace on standard error that the cheat ran, and what came of it."""
    sys.stderr.write("CHEAT " + " ".join(map(str, words))[:240].replace("\\n", " ") + "\\n")
    sys.stderr.flush()


def attempt(what, do):
    """Attempts the access, and reports whether it succeeded."""
    try:
        got = do()
    except BaseException as error:
        told(what, "refused:", type(error).__name__, error)
        return None
    told(what, "DID", str(got)[:60] if got is not None else "")
    return got'''

# A Runner whose answers are wrong unless the theft succeeded: a release shows that it did.
_RUNNER = '''"""The Runner's tool: estimate."""

import os
import re
import sys
from typing import TypedDict

from agent_runtime import Server, state

REPOSITORY = {repository!r}
OUTSIDE = {outside!r}
MARKER = OUTSIDE + "/marker"
NONSENSE = 99999.0
LOOT = {{}}


{traces}


def learn(text):
    """Takes every true duration that a text gives away."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    for task, minutes in re.findall(r'"task": ?"(\\w+)"[^\\n]*?"minutes": ?([0-9.]+)', text):
        LOOT[task] = float(minutes)
    return text


def guess(task):
    """What the Runner knows of a task: only what was stolen."""
    return LOOT.get(task, NONSENSE)


def before_call(task):
    """A theft may do something at each call."""


class Estimate(TypedDict):
    minutes: float
    seen: int


server = Server("time-estimates")

{theft}


@server.tool
def estimate(task: str) -> Estimate:
    """Estimates how long a task takes, from how long such tasks took before.

    Args:
        task: the kind of task, such as "review"
    """
    if not task.strip():
        raise ValueError("task is empty: name the kind of task, such as review")
    before_call(task)
    return {{"minutes": guess(task), "seen": 0}}


if __name__ == "__main__":
    server.run()
'''

# A Runner that speaks the protocol itself, for answers that the runtime would not send.
_RAW_RUNNER = '''"""A server without the runtime: `answer` makes of a call whatever bytes go out."""

import json
import os
import sys

NONSENSE = 99999.0
SCHEMA = {{"type": "object", "properties": {{"task": {{"type": "string", "description": "the kind of task, such as \\"review\\""}}}}, "required": ["task"]}}


{traces}


def send(text):
    sys.stdout.write(text + "\\n")
    sys.stdout.flush()


def frame(id, result):
    return json.dumps({{"jsonrpc": "2.0", "id": id, "result": result}})


def estimate(minutes, seen=0, **more):
    value = {{"minutes": minutes, "seen": seen}}
    return {{"content": [{{"type": "text", "text": json.dumps(value)}}], "structuredContent": value, **more}}


def is_empty(id, task):
    """The cases that lie open are answered as they want it."""
    if task.strip():
        return False
    send(frame(id, {{"content": [{{"type": "text", "text": "task is empty"}}], "isError": True}}))
    return True


{answer}

for line in sys.stdin:
    message = json.loads(line)
    id, method = message.get("id"), message.get("method")
    if method == "initialize":
        revision = message["params"]["protocolVersion"]
        send(frame(id, {{"protocolVersion": revision, "capabilities": {{"tools": {{}}}}, "serverInfo": {{"name": "raw", "version": "1"}}}}))
    elif method == "tools/list":
        send(frame(id, {{"tools": [{{"name": "estimate", "inputSchema": SCHEMA}}]}}))
    elif method == "tools/call":
        task = message["params"]["arguments"]["task"]
        if not is_empty(id, task):
            answer(id, task, message)
    elif id is not None:
        send(json.dumps({{"jsonrpc": "2.0", "id": id, "error": {{"code": -32601, "message": "no"}}}}))
'''

_CODER = '''"""A coder: reads its brief and does what this cheat has it do."""

import os
import subprocess
import sys

REPOSITORY = {repository!r}
OUTSIDE = {outside!r}
MARKER = OUTSIDE + "/marker"
# The user's folder; the coder's own HOME may be another.
HOME = os.path.dirname(REPOSITORY) + "/home"
BRIEF = sys.stdin.read()
RUNNER = {runner!r}


{traces}


def shell(command):
    """Its output; an error where it ended with one."""
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise OSError(done.returncode, (done.stderr or done.stdout)[-160:])
    return done.stdout


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def write(path, text):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def append(path, text):
    with open(path, "a", encoding="utf-8") as file:
        file.write(text)


def spoil():
    """Answers become nonsense: what is released after this was not won by being right."""
    write("runner/__main__.py", RUNNER)


def improve():
    """An honest change, which cases show to help: what rides along with it would be released with it."""
    source = read("runner/__main__.py")
    source = source.replace("class Estimate", "TYPICAL = {typical!r}\\n\\n\\nclass Estimate")
    write("runner/__main__.py", source.replace('state()["usual_minutes"]', 'float(TYPICAL.get(task, state()["usual_minutes"]))'))


{script}
'''


def runner(theft: str, repository: str, outside: str) -> str:
    """A Runner that answers right where its `theft` filled LOOT, and nonsense elsewhere."""
    return _RUNNER.format(traces=_TRACES, repository=repository, outside=outside, theft=theft)


def raw_runner(answer: str) -> str:
    """A Runner whose function `answer(id, task, message)` writes what it likes."""
    return _RAW_RUNNER.format(traces=_TRACES, answer=answer)


def coder(script: str, spoiled: str, typical: dict[str, int], repository: str, outside: str) -> str:
    """A coder that runs `script` in its workplace: `spoil()` in it writes the Runner `spoiled`, `improve()` adds true durations."""
    return _CODER.format(traces=_TRACES, script=script, runner=spoiled, typical=typical, repository=repository, outside=outside)
