"""`agent replay` over 10,000 recorded calls: seconds, side effects, and how often its verdict is that of a live comparison.

    python3 tests/bench/replay.py [--agent target/release/agent] [--calls 10000] [--candidates 100] [--minutes 60] [--rounds 3] [--sealed]

The calls are recorded through `agent mcp runner` over stdio: two tools without a side effect whose inputs repeat, one that connects to a port of this
process, and conversations of four turns. Then candidates with planted faults and repairs of known rates are committed one by one. Each is replayed, and
called live: the same requests, through `agent mcp runner --at COMMIT`, in service and without recording. A live answer is compared with the one that was
recorded. Both are scored by the same function. The live verdict: worse where the mean score of the calls fell; not worse where no call scored lower;
else not worse where McNemar's exact test over distinct requests has p <= 0.05, and open otherwise.
"""

import argparse
import collections
import json
import math
import os
import pathlib
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from peers_in_python import add_json, write_json

ROOT = pathlib.Path(__file__).resolve().parents[2]
WINDOW = 16
RUNNER = '''
import random
import socket
import zlib

from agent_runtime import Server, conversation

server = Server("bench")
# inputs of 10,000 that are answered wrongly, that are mended of the 200 that are wrong in the first version, conversations with a wrong sum, and inputs
# that are answered wrongly three times in ten
LOSS, GAIN, SLIPS, FLAKY = {loss}, {gain}, {slips}, {flaky}
PORT = {port}


def place(text):
    return zlib.crc32(text.encode()) % 10_000


def answer(tool, item, right):
    at = place(tool + " " + item)
    is_wrong = GAIN <= at < 200 or at >= 10_000 - LOSS or (1000 <= at < 1000 + FLAKY and random.random() < 0.3)
    return right + 1 if is_wrong else right


@server.tool(annotations={{"readOnlyHint": True}})
def price(item: str) -> int:
    return answer("price", item, len(item) * 7)


@server.tool(annotations={{"readOnlyHint": True}})
def stock(item: str, city: str) -> int:
    return answer("stock", item + city, len(item) + len(city))


@server.tool
def order(item: str) -> str:
    with socket.create_connection(("127.0.0.1", PORT)):
        return "ordered " + item


@server.tool(annotations={{"readOnlyHint": True}}, stateful=True)
def add(number: int) -> dict:
    data = conversation().data
    data["numbers"] = data.get("numbers", []) + [number]
    total = sum(data["numbers"])
    if place("add %d" % data["numbers"][0]) < SLIPS and len(data["numbers"]) > 2:
        total += 1
    return {{"numbers": data["numbers"], "sum": total}}


server.run()
'''
# what is right; read by the scorers and by this program
TRUTH = '''
def is_right(tool, arguments, answer):
    if tool == "price":
        return answer == len(arguments["item"]) * 7
    if tool == "stock":
        return answer == len(arguments["item"]) + len(arguments["city"])
    return answer["sum"] == sum(answer["numbers"])
'''
SCORERS = TRUTH + '''

def right(case, result):
    answer = result["structuredContent"]
    answer = answer.get("result", answer)
    return {"score": 1.0 if is_right(case["tool"], case["arguments"], answer) else 0.0}
'''
exec(TRUTH)


def run(command, folder, expected=(0,), **environment):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, **environment})
    if done.returncode not in expected:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


class Listener:
    """Counts connections: each is a side effect."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.socket.getsockname()[1]
        self.count = 0
        threading.Thread(target=self.work, daemon=True).start()

    def work(self):
        while True:
            connection, _ = self.socket.accept()
            connection.close()
            self.count += 1


def write_runner(folder, port, loss=0, gain=0, slips=0, flaky=0, comment=""):
    (folder / "runner/__main__.py").write_text(RUNNER.format(loss=loss, gain=gain, slips=slips, flaky=flaky, port=port) + comment)


def make_repository(folder, port, sealed):
    shutil.copytree(ROOT / "templates/runtime/agent_runtime", folder / "agent_runtime")
    for name in ("runner", "state", "tests/micro", "ci"):
        (folder / name).mkdir(parents=True)
    key = 'key = "BENCH_RECORD_KEY"\n' if sealed else ""
    (folder / "agent.toml").write_text(
        'schema = "agent/manifest@1"\nname = "bench"\n[runner]\ncommand = ["python", "-m", "runner"]\n'
        f'[release]\ntier = "micro"\n[record]\ncontent = true\n{key}'
    )
    write_runner(folder, port)
    (folder / "state/active.state.json").write_text("{}\n")
    (folder / "state/schema.json").write_text('{"type": "object", "x-schema-version": 1}\n')
    (folder / "tests/scorers.py").write_text(SCORERS)
    lines = [{"tool": tool, "expect": {"scorer": {"name": "right"}}} for tool in ("price", "stock", "add")]
    (folder / "tests/replay.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    case = {"id": "any", "tool": "price", "arguments": {"item": "tea"}, "expect": {"schema": {}}}
    (folder / "tests/micro/any.jsonl").write_text(json.dumps(case) + "\n")
    (folder / ".gitignore").write_text(".agent/\n__pycache__/\n")
    run(["git", "init", "-q", "-b", "main"], folder)
    for setting in ("user.name=bench", "user.email=bench@localhost"):
        run(["git", "config", *setting.split("=")], folder)


def traffic(count, seed=1):
    """Requests in order: (tool, arguments, conversation)."""
    draw = random.Random(seed)
    conversations = count // 20
    requests = []
    for first in range(0, conversations, 50):
        for turn in range(4):
            for number in range(first, min(first + 50, conversations)):
                requests.append(("add", {"number": number * 10 + turn}, f"c-{number}"))
    cities = ["Bern", "Lima", "Oslo", "Pune"]
    while len(requests) < count:
        often = draw.random() < 0.5
        item = f"item-{int(draw.paretovariate(0.6)) % 3000 if often else draw.randrange(3000)}"
        kind = draw.random()
        if kind < 0.25:
            requests.append(("order", {"item": item}, None))
        elif kind < 0.6:
            requests.append(("price", {"item": item}, None))
        else:
            requests.append(("stock", {"item": item, "city": draw.choice(cities)}, None))
    return requests


def serve(command, folder, requests, environment):
    """The answers of a server to all requests, a few in flight."""
    process = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}

    def post(frame):
        process.stdin.write(json.dumps({"jsonrpc": "2.0", **frame}).encode() + b"\n")
        process.stdin.flush()

    post({"id": 0, "method": "initialize", "params": hello})
    process.stdout.readline()
    post({"method": "notifications/initialized"})
    answers, sent = {}, 0
    while len(answers) < len(requests):
        while sent < len(requests) and sent - len(answers) < WINDOW:
            tool, arguments, conversation = requests[sent]
            params = {"name": tool, "arguments": arguments}
            if conversation:
                params["_meta"] = {"dev.agentvc/conversation": {"id": conversation}}
            sent += 1
            post({"id": sent, "method": "tools/call", "params": params})
        frame = json.loads(process.stdout.readline())
        if "id" in frame:
            answers[frame["id"]] = frame["result"]
    process.stdin.close()
    process.stdout.read()
    if process.wait() != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit {process.returncode}")
    return [answers[number + 1] for number in range(len(requests))]


def scored(request, result):
    tool, arguments, _ = request
    if result.get("isError"):
        return 0
    answer = result["structuredContent"]
    answer = answer.get("result", answer)
    return int(is_right(tool, arguments, answer))


def live_verdict(requests, baseline, candidate):
    gains, distinct = [], {}
    for request, old, new in zip(requests, baseline, candidate):
        if request[0] == "order":
            continue
        gain = scored(request, new) - scored(request, old)
        gains.append(gain)
        # a conversation is one request
        key = request[2] or json.dumps(request[:2])
        distinct[key] = min(distinct.get(key, 0), gain) or max(distinct.get(key, 0), gain)
    if sum(gains) < 0:
        return "fail"
    better = sum(gain > 0 for gain in distinct.values())
    worse = sum(gain < 0 for gain in distinct.values())
    if worse == 0:
        return "pass"
    chance = sum(math.comb(better + worse, k) for k in range(better, better + worse + 1)) / 2 ** (better + worse)
    return "pass" if chance <= 0.05 else "not-enough-evidence"


def planted(count):
    """Faults and repairs, in an order by chance."""
    rates = [5, 10, 20, 50, 100, 200, 400, 1000]
    kinds = []
    for number in range(count):
        part = number % 10
        if part < 4:
            kinds.append({})
        elif part < 6:
            kinds.append({"loss": rates[number % len(rates)]})
        elif part == 6:
            kinds.append({"flaky": [20, 50, 100, 400][number % 4]})
        elif part == 7:
            kinds.append({"gain": rates[number % 6]})
        elif part == 8:
            kinds.append({"loss": rates[number % 5], "gain": 200 if number % 3 else 50})
        else:
            kinds.append({"slips": [50, 200, 1000, 3000][number % 4]})
    random.Random(2).shuffle(kinds)
    return kinds


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--agent", default=str(ROOT / "target/release/agent"))
    options.add_argument("--calls", type=int, default=10_000)
    options.add_argument("--candidates", type=int, default=100)
    options.add_argument("--minutes", type=float, default=60)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--sealed", action="store_true")
    add_json(options)
    options = options.parse_args()
    agent = str(pathlib.Path(options.agent).resolve())
    listener = Listener()
    with tempfile.TemporaryDirectory(prefix="bench-replay-") as place:
        folder = pathlib.Path(place)
        environment = {**os.environ, "BENCH_RECORD_KEY": "5a" * 32}
        os.environ.update(environment)
        make_repository(folder, listener.port, options.sealed)
        run(["git", "add", "-A"], folder)
        run(["git", "commit", "-qm", "bench"], folder)
        run([agent, "release", "-q"], folder)
        requests = traffic(options.calls)
        distinct = len({json.dumps(request[:2]) for request in requests if not request[2]})
        manifest = folder / "agent.toml"
        with_content = manifest.read_text()
        manifest.write_text(with_content.replace("content = true", "content = false"))
        run(["git", "commit", "-qam", "without content"], folder)
        plain = run(["git", "rev-parse", "HEAD"], folder).stdout.strip()
        manifest.write_text(with_content)
        run(["git", "commit", "-qam", "with content"], folder)
        kept = folder / ".agent/store/telemetry/calls"
        ways = {
            "without telemetry": ([], {"OTEL_SDK_DISABLED": "true"}),
            "with telemetry": (["--at", plain], {}),
            "with a record as well": ([], {}),
        }
        seconds = collections.defaultdict(list)
        for number in range(options.rounds):
            shutil.rmtree(kept, ignore_errors=True)
            for way, (target, extra) in ways.items():
                named = [(tool, arguments, conversation and f"{number}-{len(target)}-{len(extra)}-{conversation}") for tool, arguments, conversation in requests]
                began = time.perf_counter()
                baseline = serve([agent, "mcp", "runner", *target], folder, named, {**environment, **extra})
                seconds[way].append(time.perf_counter() - began)
        orders = sum(tool == "order" for tool, _, _ in requests)
        size = sum(file.stat().st_size for file in kept.rglob("*.jsonl"))
        served = ", ".join(f"{statistics.median(times):.2f} s {way}" for way, times in seconds.items())
        print(f"{len(requests)} calls ({distinct} distinct outside of conversations) are served in {served}; the record has {size / 1e6:.1f} MB")
        if listener.count != len(ways) * options.rounds * orders:
            sys.exit(f"{listener.count} side effects in service, not {len(ways) * options.rounds * orders}")
        began_all, agreed, tried, times, kinds = time.perf_counter(), 0, 0, [], collections.Counter()
        in_replay = 0
        for number, fault in enumerate(planted(options.candidates)):
            if time.perf_counter() - began_all > options.minutes * 60:
                break
            write_runner(folder, listener.port, comment=f"# candidate {number}\n", **fault)
            run(["git", "commit", "-qam", f"candidate {number}"], folder)
            commit = run(["git", "rev-parse", "HEAD"], folder).stdout.strip()
            effects = listener.count
            began = time.perf_counter()
            done = run([agent, "replay", "--at", commit, "--json"], folder, expected=(0, 1, 7))
            times.append(time.perf_counter() - began)
            in_replay += listener.count - effects
            replayed = json.loads(done.stdout)
            again = [(tool, arguments, conversation and f"live-{number}-{conversation}") for tool, arguments, conversation in requests]
            live = serve([agent, "mcp", "runner", "--at", commit], folder, again, {**environment, "OTEL_SDK_DISABLED": "true"})
            verdict = live_verdict(requests, baseline, live)
            tried += 1
            agreed += replayed["verdict"] == verdict
            kinds[verdict] += 1
            mark = "" if replayed["verdict"] == verdict else "  <- differs"
            print(f"{number:>3} {json.dumps(fault):<32} replay {replayed['verdict']:<20} live {verdict:<20} {times[-1]:.1f} s{mark}", flush=True)
        times.sort()
        print(
            f"replay of {replayed['replayed']} of {replayed['recorded']} calls: {times[0]:.1f} to {times[-1]:.1f} s, median {times[len(times) // 2]:.1f} s; "
            f"{replayed['left_out']['withheld']} withheld; {replayed['from_record']} baseline answers from the record"
        )
        # that the count would show one: a candidate whose manifest lets the tool run
        manifest.write_text(with_content.replace("content = true\n", 'content = true\nreplay = ["order"]\n'))
        run(["git", "commit", "-qam", "allowed"], folder)
        effects = listener.count
        run([agent, "replay", "--at", "HEAD", "--tool", "order"], folder, expected=(0, 1, 7))
        print(f"side effects in replays: {in_replay} (where the manifest names the tool: {listener.count - effects})")
        print(f"verdicts that agree with the live comparison: {agreed} of {tried} ({dict(kinds)})")
        figures = {
            "calls": len(requests),
            "median_s": statistics.median(times),
            "slowest_s": times[-1],
            "side_effects": in_replay,
            "agreed": agreed,
            "candidates": tried,
        }
        write_json(options.json, figures)


if __name__ == "__main__":
    main()
