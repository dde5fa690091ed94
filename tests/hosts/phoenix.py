"""Real Phoenix (installed once, into a folder of its own) as the collector: what it shows of a call, a failed call and a tier."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

VENV = pathlib.Path(os.environ.get("PHOENIX_VENV", pathlib.Path.home() / ".cache/agent-phoenix"))
AGENT = os.environ["AGENT"]


def installed() -> pathlib.Path:
    program = VENV / "bin/phoenix"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run([VENV / "bin/pip", "install", "--quiet", "arize-phoenix"], check=True)
    return program


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def ask(url: str) -> dict:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


def wait_for(what, seconds: float = 120):
    end = time.monotonic() + seconds
    while True:
        try:
            found = what()
            if found:
                return found
        except OSError:
            pass
        if time.monotonic() > end:
            raise SystemExit("Phoenix did not answer in time")
        time.sleep(0.5)


def work(folder: pathlib.Path, url: str) -> None:
    wanted = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true",
    }
    subprocess.run([AGENT, "-q", "init", folder / "a"], check=True, stdout=subprocess.DEVNULL)
    for arguments in (["run", "estimate", "task=review"], ["run", "estimate", "task=3", "nonsense=1"], ["tune", "took", "task=review", "minutes=9"], ["test"]):
        subprocess.run([AGENT, "-q", "-C", folder / "a", *arguments], env=os.environ | wanted, stdout=subprocess.DEVNULL, check=False)


def main() -> None:
    port, grpc = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        settings = {"PHOENIX_WORKING_DIR": name, "PHOENIX_PORT": str(port), "PHOENIX_GRPC_PORT": str(grpc)}
        phoenix = subprocess.Popen([installed(), "serve"], env=os.environ | settings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: ask(f"{url}/v1/projects"))
            work(folder, url)
            spans = wait_for(lambda: ask(f"{url}/v1/projects/default/spans?limit=100")["data"])
        finally:
            phoenix.terminate()
            phoenix.wait()
    for span in sorted(spans, key=lambda span: span["start_time"]):
        shown = {key: str(span["attributes"].get(key, ""))[:60] for key in ("gen_ai.agent.version", "input.value", "output.value")}
        print(f"{span['name']:<24} {span['span_kind']:<10} {span['status_code']:<6}", *(f"{key}={value}" for key, value in shown.items() if value))
    calls = [span for span in spans if span["name"].startswith("tools/call")]
    if not calls or any(span["span_kind"] != "TOOL" or "input.value" not in span["attributes"] for span in calls):
        raise SystemExit("calls are not shown as tools with their input")


if __name__ == "__main__":
    main()
