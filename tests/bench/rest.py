"""`agent serve versions`: a page among 10,000 versions beside one among 10; and what healthy requests take while other clients idle, dawdle and send rubbish.

    cargo build --release && python3 tests/bench/rest.py [--agent PATH] [--versions 10000] [--idle 1000] [--odd 10000] [--requests 2000]

One keep-alive connection asks; the odd ones come from a process of their own. The bars: the large registry takes less than twice the small one, and the
95th percentile of healthy requests stays below 20 ms whatever the others do.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import history

BAR_RATIO = 2.0
BAR_P95_MS = 20.0
SMALL = 10
WANTED = b"GET /v1/versions?limit=5 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"


class Server:
    def __init__(self, agent: str, folder: Path) -> None:
        command = [agent, "serve", "versions", "--addr", "127.0.0.1:0", "--json"]
        self.process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        document = ""
        while not document.endswith("}\n"):
            line = self.process.stdout.readline()
            if not line:
                sys.exit(f"{' '.join(command)} ended with {self.process.wait()}")
            document += line
        host, port = json.loads(document)["url"].removeprefix("http://").rsplit(":", 1)
        self.address = (host, int(port))

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(10) != 0:
            sys.exit(f"the server ended with {self.process.returncode}")

    def size(self) -> str:
        told = dict(line.split(":", 1) for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines())
        return f"{int(told['VmRSS'].split()[0]) / 1024:.0f} MiB, {told['Threads'].strip()} threads"


class Client:
    def __init__(self, server: Server) -> None:
        self.connection = http.client.HTTPConnection(*server.address)
        self.connection.connect()
        self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get(self, path: str) -> dict:
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            sys.exit(f"{path}: {answer.status} {body.decode()}")
        return json.loads(body)

    def timed(self, path: str, requests: int, goes_on=lambda: False) -> list[float]:
        """Milliseconds of so many requests, and of more for as long as something goes on."""
        times = []
        while len(times) < requests or goes_on():
            began = time.perf_counter()
            self.get(path)
            times.append(1000 * (time.perf_counter() - began))
        return times


def quantile(times: list[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(share * len(times)))]


def shown(name: str, times: list[float], baseline: float) -> None:
    median = statistics.median(times)
    print(f"{name:<44} median {median:7.3f}  p95 {quantile(times, 0.95):7.3f}  p99 {quantile(times, 0.99):7.3f} ms   {median / baseline:.2f}  ({len(times):,} requests)")


def pages(agent: str, versions: int, requests: int) -> dict[int, float]:
    medians = {}
    for count in (SMALL, versions):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            history.build(folder, count, 1, count)
            server = Server(agent, folder)
            client = Client(server)
            began = time.perf_counter()
            first = client.get("/v1/versions?limit=5")["versions"]
            cold = 1000 * (time.perf_counter() - began)
            if [entry["version"] for entry in first] != [f"0.1.{count - 1 - index}" for index in range(5)]:
                sys.exit(f"wrong: {first}")
            times = client.timed("/v1/versions?limit=5", requests)
            medians.setdefault(SMALL, statistics.median(times))
            medians[count] = statistics.median(times)
            shown(f"a page of 5 among {count:,} versions", times, medians[SMALL])
            shown(f"  from the middle, after 0.1.{count // 2}", client.timed(f"/v1/versions?limit=5&after=0.1.{count // 2}", requests), medians[SMALL])
            print(f"  the very first took {cold:.1f} ms; {server.size()}")
            server.close()
    return medians


def odd(address: tuple[str, int], count: int, results: multiprocessing.Queue) -> None:
    """Malformed requests, each on its own connection; returns the statuses of the answers."""
    chance, answers = random.Random(7), {}
    for number in range(count):
        if number % 2:
            request = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 200)))
        else:
            request = bytearray(WANTED)
            for _ in range(chance.randrange(1, 6)):
                request[chance.randrange(len(request))] = chance.randrange(256)
        status = "closed"
        try:
            with socket.create_connection(address, timeout=30) as connection:
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
                answer = connection.recv(4096)
                status = answer[9:12].decode("latin-1") or status
        except OSError:
            pass
        answers[status] = answers.get(status, 0) + 1
    results.put(answers)


def drip(connections: list[socket.socket], stop: threading.Event) -> None:
    """A byte of a head to each, again and again."""
    for byte in WANTED * 100:
        if stop.wait(0.5):
            return
        for connection in connections:
            try:
                connection.send(bytes([byte]))
            except OSError:
                pass


def under_attack(server: Server, idle: int, rubbish: int, requests: int) -> list[list[float]]:
    client, path = Client(server), "/v1/versions?limit=5"
    client.get(path)
    alone = client.timed(path, requests)
    baseline = statistics.median(alone)
    shown("alone", alone, baseline)
    idlers = [socket.create_connection(server.address) for _ in range(idle)]
    beside_idle = client.timed(path, requests)
    shown(f"beside {idle:,} idle connections", beside_idle, baseline)
    print(f"  {server.size()}")
    slow, stop = [socket.create_connection(server.address) for _ in range(idle // 5)], threading.Event()
    dripping = threading.Thread(target=drip, args=(slow, stop))
    dripping.start()
    beside_slow = client.timed(path, requests)
    shown(f"and {len(slow):,} that send a byte at a time", beside_slow, baseline)
    results: multiprocessing.Queue = multiprocessing.Queue()
    attacker = multiprocessing.Process(target=odd, args=(server.address, rubbish, results))
    attacker.start()
    beside_odd = client.timed(path, requests, attacker.is_alive)
    answers = results.get(timeout=120)
    attacker.join()
    shown(f"and {rubbish:,} requests with odd bytes", beside_odd, baseline)
    print(f"  they were answered: {', '.join(f'{status} {count:,}' for status, count in sorted(answers.items()))}; {server.size()}")
    stop.set()
    dripping.join()
    for connection in idlers + slow:
        connection.close()
    faults = sum(count for status, count in answers.items() if status.startswith("5") and status != "505")
    if faults:
        sys.exit(f"{faults} odd requests were answered by a fault of the server")
    return [alone, beside_idle, beside_slow, beside_odd]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--agent", type=Path, default=history.ROOT / "target/release/agent")
    arguments.add_argument("--versions", type=int, default=10_000)
    arguments.add_argument("--idle", type=int, default=1000)
    arguments.add_argument("--odd", type=int, default=10_000)
    arguments.add_argument("--requests", type=int, default=2000)
    options = arguments.parse_args()
    agent = str(options.agent.resolve())
    os.environ.pop("AGENT_TOKEN", None)
    medians = pages(agent, options.versions, options.requests)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        history.build(folder, 200, 1, 200)
        server = Server(agent, folder)
        times = under_attack(server, options.idle, options.odd, options.requests)
        server.close()
    ratio = medians[options.versions] / medians[SMALL]
    print(f"a page among {options.versions:,} versions against one among {SMALL}: {ratio:.2f}{'' if ratio < BAR_RATIO else f'   above the bar of {BAR_RATIO}'}")
    worst = max(quantile(some, 0.95) for some in times)
    print(f"the worst 95th percentile of healthy requests: {worst:.2f} ms{'' if worst < BAR_P95_MS else f'   above the bar of {BAR_P95_MS} ms'}")


if __name__ == "__main__":
    main()
