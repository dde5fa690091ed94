"""An MCP server that knows the stateless era alone."""

import json
import sys

VERSION = "io.modelcontextprotocol/protocolVersion"


def answer(frame):
    params = frame.get("params", {})
    meta = params.get("_meta", {})
    if meta.get(VERSION) != "2026-07-28":
        return {"error": {"code": -32022, "message": "Unsupported protocol version", "data": {"supported": ["2026-07-28"]}}}
    result = {"resultType": "complete", "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "modern", "version": "1"}}}
    if frame["method"] == "server/discover":
        result |= {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "ttlMs": 0, "cacheScope": "private"}
    elif frame["method"] == "tools/list":
        result |= {"tools": [{"name": "meta", "inputSchema": {"type": "object"}}], "ttlMs": 0, "cacheScope": "private"}
    elif frame["method"] == "tools/call" and "inputResponses" not in params and params["arguments"].get("ask"):
        question = {"method": "elicitation/create", "params": {"message": "which one?"}}
        result |= {"resultType": "input_required", "inputRequests": {"which": question}, "requestState": "sealed"}
    else:
        shown = {"meta": meta, "given": params.get("inputResponses"), "state": params.get("requestState")}
        result |= {"content": [], "structuredContent": shown}
    return {"result": result}


for line in sys.stdin:
    frame = json.loads(line)
    if "id" in frame:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": frame["id"], **answer(frame)}) + "\n")
        sys.stdout.flush()
