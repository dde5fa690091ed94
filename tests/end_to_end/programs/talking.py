"""An MCP server of the handshake era without agent_runtime, whose tools talk while they work. Several calls run at once."""

import json
import os
import sys
import threading
import time

TOOLS = ["echo", "who", "steps", "ask", "until_cancelled"]
writing = threading.Lock()
answers, cancelled = {}, {}


def send(frame):
    with writing:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **frame}) + "\n")
        sys.stdout.flush()


def say(words):
    send({"method": "notifications/message", "params": {"level": "info", "data": words}})


def steps(id, arguments, meta):
    """Two steps; the second waits for a file."""
    token = meta.get("progressToken")
    send({"method": "notifications/progress", "params": {"progressToken": token, "progress": 1}})
    until = time.monotonic() + 60
    while not os.path.exists(arguments["gate"]) and time.monotonic() < until:
        time.sleep(0.01)
    send({"method": "notifications/progress", "params": {"progressToken": token, "progress": 12345678901234567890123}})
    return "done"


def who(id, arguments, meta):
    return str(os.getpid())


def ask(id, arguments, meta):
    answers[id] = threading.Event(), []
    send({"id": f"q{id}", "method": "elicitation/create", "params": {"message": arguments["question"], "requestedSchema": {"type": "object", "properties": {}}}})
    answered, heard = answers[id]
    answered.wait(60)
    return json.dumps(heard[0])


def until_cancelled(id, arguments, meta):
    cancelled[id] = threading.Event()
    say("waiting")
    if cancelled[id].wait(60):
        with open(arguments["mark"], "w") as mark:
            mark.write("cancelled")
    return "over"


def call(id, params):
    if params["name"] == "echo":
        result = {"content": [], "params": params["arguments"], "vendor": {"z": 12345678901234567890123, "a": 1.10}}
    else:
        words = globals()[params["name"]](id, params["arguments"], params.get("_meta", {}))
        result = {"content": [{"type": "text", "text": words}]}
    send({"id": id, "result": result})


def answer(method, params):
    if method == "initialize":
        capabilities = {"tools": {}, "logging": {}}
        return {"protocolVersion": params["protocolVersion"], "capabilities": capabilities, "serverInfo": {"name": "talking", "version": "1"}}
    if method == "tools/list":
        mirrored = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
        return {"tools": [{"name": name, "inputSchema": mirrored if name == "echo" else {"type": "object"}} for name in TOOLS]}
    return {} if method == "ping" else None


for line in sys.stdin:
    frame = json.loads(line)
    id, method, params = frame.get("id"), frame.get("method"), frame.get("params", {})
    if method == "tools/call":
        threading.Thread(target=call, args=(id, params), daemon=True).start()
    elif method == "notifications/cancelled":
        waiting = cancelled.get(params["requestId"])
        waiting and waiting.set()
    elif method is None:
        answered, heard = answers[int(id[1:])]
        heard.append(frame.get("result"))
        answered.set()
    elif id is not None:
        result = answer(method, params)
        send({"id": id, "error": {"code": -32601, "message": "Method not found"}} if result is None else {"id": id, "result": result})
