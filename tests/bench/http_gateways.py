"""A call over Streamable HTTP to a stdio server: through `agent mcp runner --http`, and through the gateways people use today, in one run.

    python3 tests/bench/http_gateways.py [--agent target/release/agent] [--calls 1000] [--rounds 5] [--only agent,supergateway] [--official]

The server is a loop of bare Python that answers at once, so that the time is the gateway's; --official puts one of MCP's Python SDK in its place. One
connection, one call at a time, a session of 2025-11-25. All gateways run during the whole bench and take turns; what is shown is the median of all calls,
and of that what is above the same call to the server itself, over pipes.
"""

import argparse
import http.client
import json
import pathlib
import socket
import statistics
import subprocess
import sys
import time
import urllib.parse
from contextlib import ExitStack

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "hosts"))
import environment
import gateways

MINI = '''
import json
import sys

TOOL = {"name": "same", "inputSchema": {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}}


def answer(method, params):
    if method == "initialize":
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": {"name": "mini", "version": "1"}}
    if method == "tools/list":
        return {"tools": [TOOL]}
    if method == "tools/call":
        return {"content": [{"type": "text", "text": str(params["arguments"].get("number"))}]}
    return {} if method == "ping" else None


for line in sys.stdin:
    frame = json.loads(line)
    if "id" in frame and "method" in frame:
        result = answer(frame["method"], frame.get("params", {}))
        outcome = {"error": {"code": -32601, "message": "Method not found"}} if result is None else {"result": result}
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": frame["id"], **outcome}) + "\\n")
        sys.stdout.flush()
'''
OFFICIAL = '''
from mcp.server.mcpserver import MCPServer

server = MCPServer("bench", log_level="ERROR")


@server.tool()
def same(number: int) -> str:
    """The number itself."""
    return str(number)


server.run()
'''
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}


def request(id, method, params):
    return json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).encode()


def call(number):
    return request(number, "tools/call", {"name": "same", "arguments": {"number": number}})


def check(answer, number):
    if answer["result"]["content"][0]["text"] != str(number):
        sys.exit(f"a wrong answer: {answer}")


class Http:
    """One connection with one session."""

    def __init__(self, url):
        at = urllib.parse.urlsplit(url)
        self.path = at.path
        self.connection = http.client.HTTPConnection(at.hostname, at.port, timeout=60)
        self.open()
        self.headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
        self.exchange(0, request(0, "initialize", HELLO))
        self.headers["mcp-protocol-version"] = HELLO["protocolVersion"]
        self.post(b'{"jsonrpc":"2.0","method":"notifications/initialized"}').read()

    def open(self):
        """A fresh connection: servers close one that was idle while others had their turn."""
        self.connection.close()
        self.connection.connect()
        self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def post(self, body):
        self.connection.request("POST", self.path, body, self.headers)
        response = self.connection.getresponse()
        session = response.getheader("mcp-session-id")
        if session:
            self.headers["mcp-session-id"] = session
        if response.status >= 400:
            sys.exit(f"HTTP {response.status}: {response.read()[:500]}")
        return response

    def exchange(self, id, body):
        response = self.post(body)
        text = response.read().decode()
        if response.getheader("content-type", "").startswith("text/event-stream"):
            frames = [json.loads(line[5:]) for line in text.splitlines() if line.startswith("data:") and line[5:].strip()]
        else:
            frames = [json.loads(text)]
        return next(frame for frame in frames if frame.get("id") == id)


class Pipes:
    """The server itself."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.exchange(0, request(0, "initialize", HELLO))
        self.process.stdin.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')

    def open(self):
        """It is."""

    def exchange(self, id, body):
        self.process.stdin.write(body + b"\n")
        self.process.stdin.flush()
        while True:
            frame = json.loads(self.process.stdout.readline())
            if frame.get("id") == id:
                return frame


def measure(client, first, calls):
    took = []
    client.open()
    for number in range(first, first + calls):
        body = call(number)
        began = time.perf_counter()
        answer = client.exchange(number, body)
        took.append(time.perf_counter() - began)
        check(answer, number)
    return took


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent", type=pathlib.Path, default=environment.ROOT / "target/release/agent")
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(gateways.NAMES))
    parser.add_argument("--official", action="store_true")
    arguments = parser.parse_args()
    kind = "official" if arguments.official else "mini"
    program = environment.FOLDER / f"{kind}-server" / "server.py"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(OFFICIAL if arguments.official else MINI)
    interpreter = environment.python("everything", environment.MCP, "click>=8.2") if arguments.official else sys.executable
    server = [str(interpreter), str(program)]
    with ExitStack() as running:
        clients = {"the server itself": Pipes(server)}
        for name in arguments.only.split(","):
            url, _ = running.enter_context(gateways.served(name, arguments.agent.resolve(), server, kind))
            clients[name] = Http(url)
        took = {name: [] for name in clients}
        for name, client in clients.items():
            measure(client, 1, 20)
        for turn in range(arguments.rounds):
            for name, client in clients.items():
                took[name] += measure(client, 1000 + turn * arguments.calls, arguments.calls)
        clients["the server itself"].process.kill()
    print_table(took)


def print_table(took):
    medians = {name: statistics.median(times) * 1000 for name, times in took.items()}
    bare = medians.pop("the server itself")
    ours = medians.get("agent")
    print(f"the server itself, over pipes: {bare:.3f} ms a call")
    print(f"{'':14}{'a call':>10}{'95 of 100':>12}{'added':>10}{'of agent':>10}{'added, of agent':>18}")
    for name, median in medians.items():
        late = statistics.quantiles(took[name], n=20)[-1] * 1000
        ratios = f"{median / ours:>9.1f}x{(median - bare) / (ours - bare):>17.1f}x" if ours else ""
        print(f"{name:14}{median:>7.3f} ms{late:>9.3f} ms{median - bare:>7.3f} ms{ratios}")


if __name__ == "__main__":
    main()
