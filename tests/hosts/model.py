"""A model that follows a script, for hosts that ask one over HTTP: Anthropic's Messages, OpenAI's Responses and Chat Completions, Gemini's generateContent.

What it says next is the next value of a Python generator, which gets the host's whole last turn and may do anything
meanwhile, such as releasing a version. So a real host makes real tool calls, at moments that the script chooses.
"""

import contextlib
import dataclasses
import http.server
import itertools
import json
import re
import threading

USED = 10
NUMBERS = itertools.count(1)


@dataclasses.dataclass
class Call:
    """The model calls a tool of the server under test, by the name that the server gives it."""

    tool: str
    arguments: dict


@dataclasses.dataclass
class Turn:
    """What a host shows its model: the names of all tools, how often the model has spoken so far, and what the last call gave."""

    tools: list
    spoken: int
    result: str

    def offered(self, tool):
        """The host's own name of a tool, which ends with the server's; None where it is not listed."""
        return next((name for name in self.tools if re.search(rf"(^|_){re.escape(tool)}$", name)), None)


class Model:
    """Plays `script(turn)`, a generator of `Call`s and texts that receives each next turn.
    
    After its end the model answers `done`."""

    def __init__(self, script):
        self.script = script
        self.playing = None
        self.spoken = None
        self.reply = None
        self.problem = None
        self.finished = False
        self.requests = []
        self.lock = threading.Lock()

    def say(self, turn):
        """The reply to a turn: a text, or a call and the host's name of its tool. A request that comes again is answered as before."""
        if not turn.tools:
            return "ok"
        with self.lock:
            if turn.spoken != self.spoken:
                self.spoken = turn.spoken
                self.reply = self.next_reply(turn)
        if isinstance(self.reply, str):
            return self.reply
        return self.reply, turn.offered(self.reply.tool) or self.reply.tool

    def next_reply(self, turn):
        try:
            if self.playing is None:
                self.playing = self.script(turn)
                return next(self.playing)
            return self.playing.send(turn)
        except StopIteration:
            self.finished = True
            return "done"
        except Exception as problem:
            self.problem = problem
            return "the script failed"


def text_of(value):
    """All texts in what a host shows of a result, one after another."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(map(text_of, value))
    if isinstance(value, dict):
        inner = [value[key] for key in ("text", "content", "output", "error", "functionResponse", "response") if key in value]
        return "\n".join(map(text_of, inner)) if inner else json.dumps(value)
    return "" if value is None else str(value)


def identifier(kind):
    return f"{kind}_{next(NUMBERS):08}"


# Each format: what a request shows, and the events of a reply. The first event that holds the whole reply is what a request without a stream gets.


def messages_turn(body):
    results = [part for message in body["messages"] if isinstance(message["content"], list) for part in message["content"] if part["type"] == "tool_result"]
    spoken = sum(message["role"] == "assistant" for message in body["messages"])
    return Turn([tool["name"] for tool in body.get("tools", [])], spoken, text_of(results[-1]["content"]) if results else "")


def messages_reply(reply, body):
    usage = {"input_tokens": USED, "output_tokens": USED}
    if isinstance(reply, str):
        stop, block = "end_turn", {"type": "text", "text": reply}
        empty, delta = {**block, "text": ""}, {"type": "text_delta", "text": reply}
    else:
        call, name = reply
        stop, block = "tool_use", {"type": "tool_use", "id": identifier("toolu"), "name": name, "input": call.arguments}
        empty, delta = {**block, "input": {}}, {"type": "input_json_delta", "partial_json": json.dumps(call.arguments)}
    whole = {"id": identifier("msg"), "type": "message", "role": "assistant", "model": body["model"], "content": [block], "stop_reason": stop, "stop_sequence": None, "usage": usage}
    events = [
        {"type": "message_start", "message": {**whole, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": empty},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": usage},
        {"type": "message_stop"},
    ]
    return whole, [(event["type"], event) for event in events]


def responses_tools(tools):
    """Namespace and name of each tool; the host's name for it is both, joined as it would join them."""
    for tool in tools:
        if tool["type"] == "namespace":
            yield from ((tool["name"], inner["name"]) for inner in tool["tools"])
        elif "name" in tool:
            yield None, tool["name"]


def joined(namespace, name):
    return name if namespace is None else f"{namespace}__{name}"


def responses_turn(body):
    tools = [joined(*tool) for tool in responses_tools(body.get("tools", []))]
    items = body["input"] if isinstance(body["input"], list) else []
    mine = [item["type"] == "function_call" or item.get("role") == "assistant" for item in items]
    # a turn of the model may be several items
    spoken = sum(now and not before for before, now in zip([False, *mine], mine))
    results = [item["output"] for item in items if item["type"] == "function_call_output"]
    return Turn(tools, spoken, text_of(results[-1]) if results else "")


def responses_reply(reply, body):
    if isinstance(reply, str):
        item = {"type": "message", "id": identifier("msg"), "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": reply, "annotations": []}]}
    else:
        call, wanted = reply
        namespace, name = next((tool for tool in responses_tools(body["tools"]) if joined(*tool) == wanted), (None, wanted))
        item = {"type": "function_call", "id": identifier("fc"), "call_id": identifier("call"), "status": "completed", "name": name, "arguments": json.dumps(call.arguments)}
        item.update({"namespace": namespace} if namespace else {})
    usage = {"input_tokens": USED, "output_tokens": USED, "total_tokens": 2 * USED}
    whole = {"id": identifier("resp"), "object": "response", "status": "completed", "model": body["model"], "output": [item], "usage": usage}
    events = [
        {"type": "response.created", "response": {**whole, "status": "in_progress", "output": [], "usage": None}},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": whole},
    ]
    return whole, [(event["type"], {**event, "sequence_number": number}) for number, event in enumerate(events)]


def chat_turn(body):
    results = [message["content"] for message in body["messages"] if message["role"] == "tool"]
    spoken = sum(message["role"] == "assistant" for message in body["messages"])
    return Turn([tool["function"]["name"] for tool in body.get("tools", [])], spoken, text_of(results[-1]) if results else "")


def chat_reply(reply, body):
    if isinstance(reply, str):
        finish, message = "stop", {"role": "assistant", "content": reply}
    else:
        call, name = reply
        function = {"name": name, "arguments": json.dumps(call.arguments)}
        finish, message = "tool_calls", {"role": "assistant", "tool_calls": [{"index": 0, "id": identifier("call"), "type": "function", "function": function}]}
    head = {"id": identifier("chatcmpl"), "created": 0, "model": body["model"]}
    usage = {"prompt_tokens": USED, "completion_tokens": USED, "total_tokens": 2 * USED}
    whole = {**head, "object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage}
    chunk = {**head, "object": "chat.completion.chunk"}
    events = [
        {**chunk, "choices": [{"index": 0, "delta": message, "finish_reason": None}]},
        {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}], "usage": usage},
    ]
    return whole, [*((None, event) for event in events), (None, "[DONE]")]


def gemini_turn(body):
    tools = [function["name"] for tool in body.get("tools", []) for function in tool.get("functionDeclarations", [])]
    contents = body.get("contents", [])
    results = [part["functionResponse"]["response"] for content in contents for part in content.get("parts", []) if "functionResponse" in part]
    return Turn(tools, sum(content.get("role") == "model" for content in contents), text_of(results[-1]) if results else "")


def gemini_reply(reply, body):
    part = {"text": reply} if isinstance(reply, str) else {"functionCall": {"name": reply[1], "args": reply[0].arguments}}
    usage = {"promptTokenCount": USED, "candidatesTokenCount": USED, "totalTokenCount": 2 * USED}
    whole = {"candidates": [{"index": 0, "content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}], "usageMetadata": usage}
    return whole, [(None, whole)]


# suffix of a request's path, its reader and writer, and whether the answer is always a stream
FORMATS = [
    ("/messages", messages_turn, messages_reply, False),
    ("/responses", responses_turn, responses_reply, False),
    ("/chat/completions", chat_turn, chat_reply, False),
    (":generateContent", gemini_turn, gemini_reply, False),
    (":streamGenerateContent", gemini_turn, gemini_reply, True),
]


def handler(model):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_HEAD(self):
            self.answer(200, "application/json", b"")

        def do_GET(self):
            self.answer(404, "application/json", b"{}")

        def do_POST(self):
            path = self.path.partition("?")[0]
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            model.requests.append((path, body))
            for ending, turn, reply, streams in FORMATS:
                if path.endswith(ending):
                    whole, events = reply(model.say(turn(body)), body)
                    if streams or body.get("stream"):
                        return self.answer(200, "text/event-stream", b"".join(itertools.starmap(event, events)))
                    return self.answer(200, "application/json", json.dumps(whole).encode())
            if path.endswith(("/count_tokens", ":countTokens")):
                return self.answer(200, "application/json", json.dumps({"input_tokens": USED, "totalTokens": USED}).encode())
            self.answer(404, "application/json", b"{}")

        def answer(self, status, kind, body):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            # the host may be gone
            with contextlib.suppress(OSError):
                self.wfile.write(body)

    return Handler


def event(name, data):
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()


@contextlib.contextmanager
def served(script):
    """A model that plays a script, and its port of 127.0.0.1."""
    model = Model(script)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(model))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield model, server.server_port
    finally:
        server.shutdown()
        server.server_close()
