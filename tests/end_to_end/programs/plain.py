"""An MCP server without agent_runtime, as a Runner or a Tuner; some of its tools misbehave."""

import json
import os
import sys
import time
from pathlib import Path

TOOLS = ["meta", "echo", "state", "ask", "hang", "print", "rubbish"]


def send(frame):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **frame}) + "\n")
    sys.stdout.flush()


def call(params):
    tool, meta = params["name"], params.get("_meta", {})
    if tool == "hang":
        time.sleep(600)
    if tool == "print":
        print("debugging", flush=True)
    if tool == "rubbish":
        print('{"jsonrpc": "2.0", "id": 1, "result": 1, "error": 2}', flush=True)
    if tool == "state":
        weight = json.loads(Path(os.environ["AGENT_STATE_FILE"]).read_text())["weight"]
        return {"content": [], "structuredContent": {"weight": weight, "process": os.getpid()}}
    if tool == "ask":
        send({"id": 1, "method": "elicitation/create", "params": {"message": "which one?", "big": 12345678901234567890123}})
        return {"content": [], "structuredContent": {"answer": json.loads(sys.stdin.readline())}}
    if tool == "echo":
        send({"method": "notifications/progress", "params": {"progressToken": meta.get("progressToken"), "progress": 12345678901234567890123}})
        return {"content": [], "params": params, "_meta": {"vendor/x": 12345678901234567890123, "dev.agentvc/reads": []}}
    result = {"content": [{"type": "text", "text": json.dumps(meta)}]}
    talk = meta.get("dev.agentvc/conversation")
    if talk and "turn" in talk:
        kept = {"id": talk["id"], "data": {"turns": talk["turn"]}, "facts": {"tool": tool}}
        result["_meta"] = {"dev.agentvc/conversation": kept}
    return result


def answer(method, params):
    if method == "initialize":
        server = {"name": "plain", "version": "1"}
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": server}
    if method == "tools/list":
        return {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]}
    return call(params) if method == "tools/call" else {}


for line in sys.stdin:
    frame = json.loads(line)
    if "id" in frame:
        send({"id": frame["id"], "result": answer(frame["method"], frame.get("params", {}))})
