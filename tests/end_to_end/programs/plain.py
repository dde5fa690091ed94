"""An MCP server without agent_runtime, as a Runner or a Tuner; some of its tools misbehave."""

import json
import os
import sys
import time
from pathlib import Path

# A placeholder for the whole answer, where json.dumps would not write it.
WRITTEN = {
    "rubbish": '"result": 1, "error": 2',
    "half_a_pair": r'"result": {"content": [{"type": "text", "text": "cut \ud83d"}], "structuredContent": {"result": "cut \ud83d"}}',
    "deep": '"result": {"content": [], "structuredContent": {"result": %s}}' % ("[" * 200 + "]" * 200),
    "nan": '"result": {"content": [], "structuredContent": {"result": NaN}}',
    "huge": '"result": {"content": [], "structuredContent": {"result": 1e999}}',
    "twice": '"result": {"content": [], "_meta": {}, "_meta": {}}',
    "odd_error": '"error": {"code": 1.5, "message": "\\ud83d"}',
}
TOOLS = ["meta", "echo", "state", "ask", "hang", "print", "flood", "half", *WRITTEN]


def send(frame):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **frame}) + "\n")
    sys.stdout.flush()


def call(params):
    tool, meta = params["name"], params.get("_meta", {})
    if tool == "hang":
        time.sleep(600)
    if tool == "print":
        print('debugging\n{"level": "info", "msg": "json too"}', flush=True)
        return {"content": [{"type": "text", "text": "printed"}]}
    if tool == "flood":
        print("debugging\n" * 10_000, flush=True)
    if tool == "half":
        print('{"jsonrpc": "2.0", "id": 1, "res', flush=True)
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
    written = WRITTEN.get(frame.get("params", {}).get("name"))
    if written:
        print('{"jsonrpc": "2.0", "id": %s, %s}' % (frame["id"], written), flush=True)
    elif "id" in frame:
        send({"id": frame["id"], "result": answer(frame["method"], frame.get("params", {}))})
