"""A server that hides a tool from clients without sampling, lists a prompt, and makes tasks."""

import json
import os
import sys

TOOLS = [{"name": "begin", "inputSchema": {"type": "object"}}]
ASKING = {"name": "asking", "inputSchema": {"type": "object"}}
capabilities, tasks = {}, {}


def answer(method, params):
    if method == "initialize":
        capabilities.update(params["capabilities"])
        offered = {"tools": {}, "prompts": {}, "tasks": {"requests": {"tools": {"call": {}}}}}
        return {"protocolVersion": params["protocolVersion"], "capabilities": offered, "serverInfo": {"name": "c", "version": "1"}}
    if method == "tools/list":
        return {"tools": TOOLS + ([ASKING] if "sampling" in capabilities else [])}
    if method == "prompts/list":
        return {"prompts": [{"name": "hello-" + VERSION}]}
    if method == "tools/call":
        tasks["t1"] = "made by " + VERSION
        return {"task": {"taskId": "t1", "ttl": 60000, "status": "working"}}
    if method == "tasks/result":
        return {"content": [{"type": "text", "text": tasks.get(params["taskId"], "no such task")}]}
    return None


VERSION = "one"
if os.environ.get("SLOW_START"):
    # the host's answer comes from the record, or not at all
    sys.stdin.read()
for line in sys.stdin:
    frame = json.loads(line)
    if "id" in frame and "method" in frame:
        result = answer(frame["method"], frame.get("params") or {})
        body = {"result": result} if result is not None else {"error": {"code": -32601, "message": "unknown"}}
        print(json.dumps({"jsonrpc": "2.0", "id": frame["id"], **body}), flush=True)
