"""`agent trigger check` over many recorded calls: the first check, and one after it; beside DuckDB's same query.

    python3 tests/bench/trigger_check.py [--agent target/release/agent] [--calls 1000000] [--days 7] [--duckdb PYTHON]

The record is made by this script: client spans of Runner calls as `agent` writes them, 500 in a line and 20 lines in a file, spread evenly over the days
up to now; one call in 200 fails, one in ten has a reward. The rules are one of each type over calls and rewards. `--duckdb` names a Python with `duckdb`
(pip install duckdb), which counts calls and errors by version and minute of the same files, with two threads.
"""

import argparse
import datetime
import json
import os
import pathlib
import subprocess
import tempfile
import time

from tier_throughput import ROOT

IN_A_LINE = 500
LINES = 20
RULES = [
    {"name": "burn", "type": "burn", "objective": "calls-succeed"},
    {"name": "errors", "type": "drift", "of": "success"},
    {"name": "reward", "type": "drift", "of": "reward"},
    {"name": "gap", "type": "traffic", "window": "15m"},
]
HEAD = '{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"agent"}}]},"scopeSpans":[{"scope":{"name":"agent"},"spans":['
SPAN = (
    '{{"traceId":"{trace:032x}","spanId":"{trace:016x}","traceState":"","parentSpanId":"","flags":257,"name":"tools/call estimate","kind":3,'
    '"startTimeUnixNano":"{began}","endTimeUnixNano":"{ended}","attributes":[{{"key":"mcp.method.name","value":{{"stringValue":"tools/call"}}}},'
    '{{"key":"gen_ai.tool.name","value":{{"stringValue":"estimate"}}}},{{"key":"agent.role","value":{{"stringValue":"runner"}}}},'
    '{{"key":"agent.version","value":{{"stringValue":"{version}"}}}},{{"key":"gen_ai.agent.name","value":{{"stringValue":"bench"}}}}],'
    '"droppedAttributesCount":0,"events":[],"links":[],"status":{{"message":"","code":{code}}}}}'
)
LOG_HEAD = '{"resourceLogs":[{"resource":{"attributes":[]},"scopeLogs":[{"scope":{"name":"agent"},"logRecords":['
LOG = (
    '{{"timeUnixNano":"{at}","eventName":"gen_ai.evaluation.result","traceId":"{trace:032x}","spanId":"{trace:016x}","attributes":['
    '{{"key":"gen_ai.evaluation.score.value","value":{{"doubleValue":{score}}}}},{{"key":"agent.signal.id","value":{{"stringValue":"s-{trace}"}}}},'
    '{{"key":"agent.version","value":{{"stringValue":"{version}"}}}}]}}'
)
QUERY = """
SET threads = 2;
WITH resources AS (
  SELECT unnest(resourceSpans) AS resource FROM read_json('{files}', format = 'newline_delimited', maximum_object_size = 100000000, columns = {{
    resourceSpans: 'STRUCT(scopeSpans STRUCT(spans STRUCT(kind INT, endTimeUnixNano VARCHAR, attributes STRUCT("key" VARCHAR, "value" STRUCT(stringValue VARCHAR))[], status STRUCT(code INT))[])[])[]'}})
), scopes AS (SELECT unnest(resource.scopeSpans) AS scope FROM resources), spans AS (SELECT unnest(scope.spans) AS span FROM scopes)
SELECT list_extract(list_filter(span.attributes, lambda a: a.key = 'agent.version'), 1).value.stringValue AS version,
  span.endTimeUnixNano::BIGINT // 60000000000 AS minute, count(*) AS calls, count(*) FILTER (span.status.code = 2) AS errors
FROM spans WHERE span.kind = 3 GROUP BY ALL
"""


def write(store, calls, days):
    """Writes the record; returns its bytes."""
    now = time.time_ns()
    step = days * 86400 * 10**9 // calls
    size = 0
    in_a_file = IN_A_LINE * LINES
    for first in range(0, calls, in_a_file):
        began = now - days * 86400 * 10**9 + first * step
        at = datetime.datetime.fromtimestamp(began / 1e9, datetime.UTC)
        lines, logs = [], []
        for line in range(first, min(first + in_a_file, calls), IN_A_LINE):
            spans, records = [], []
            for number in range(line, min(line + IN_A_LINE, calls)):
                when = now - days * 86400 * 10**9 + number * step
                version = ("0.1.0", "0.1.1", "0.2.0")[number * 3 // calls]
                code = 2 if number % 200 == 0 else 0
                spans.append(SPAN.format(trace=number + 1, began=when, ended=when + 5_000_000, version=version, code=code))
                if number % 10 == 0:
                    records.append(LOG.format(at=when, trace=number + 1, version=version, score=float(number % 50 != 0)))
            lines.append(HEAD + ",".join(spans) + "]}]}]}\n")
            logs.append(LOG_HEAD + ",".join(records) + "]}]}]}\n")
        for signal, text in (("traces", "".join(lines)), ("logs", "".join(logs))):
            folder = store / "telemetry" / signal / f"{at:%Y/%m/%d}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{at:%H%M%S}{at.microsecond // 1000:03}-p-{first}-{first:016x}-0.jsonl").write_text(text)
            size += len(text)
    return size


def timed(command, folder):
    """Seconds of wall time, and the peak of resident memory in MiB."""
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ | {"AGENT_SKIP_HOOKS": "1"})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    assert status == 0, process.stderr.read().decode()[-600:]
    return time.perf_counter() - began, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent", default=ROOT / "target/release/agent", type=pathlib.Path)
    parser.add_argument("--calls", default=1_000_000, type=int)
    parser.add_argument("--days", default=7, type=int)
    parser.add_argument("--duckdb")
    options = parser.parse_args()
    agent = options.agent.resolve()
    with tempfile.TemporaryDirectory(prefix="agent-bench-") as parent:
        folder = pathlib.Path(parent) / "repository"
        subprocess.run([agent, "init", "-q", folder], check=True, env=os.environ | {"AGENT_SKIP_HOOKS": "1"})
        path = folder / "ci/budgets.json"
        budgets = json.loads(path.read_text())
        budgets["slos"] = [{"name": "calls-succeed", "indicator": {"type": "success"}, "target": 0.99, "window": "28d"}]
        budgets["triggers"] = RULES
        path.write_text(json.dumps(budgets))
        size = write(folder / ".agent/store", options.calls, options.days)
        print(f"{options.calls:,} calls over {options.days} days, {size / 1e6:,.0f} MB")
        check = [agent, "-q", "trigger", "check"]
        first, memory = timed(check, folder)
        print(f"first check       {first:8.2f} s   {size / 1e6 / first:6.0f} MB/s   peak {memory:5.0f} MiB")
        later = [timed(check, folder) for _ in range(7)]
        seconds = sorted(took for took, _ in later)[3]
        print(f"a check after it  {seconds * 1000:8.1f} ms  (median of 7)   peak {max(memory for _, memory in later):5.0f} MiB")
        if options.duckdb:
            files = folder / ".agent/store/telemetry/traces/*/*/*/*.jsonl"
            script = f"import duckdb; print(len(duckdb.execute('''{QUERY.format(files=files)}''').fetchall()))"
            took, memory = timed([options.duckdb, "-c", script], folder)
            traces = sum(file.stat().st_size for file in (folder / ".agent/store/telemetry/traces").rglob("*.jsonl"))
            print(f"DuckDB            {took:8.2f} s   {traces / 1e6 / took:6.0f} MB/s   peak {memory:5.0f} MiB   (traces alone, with the start of Python)")


main()
