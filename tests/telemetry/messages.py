"""Reads each line on record as the message it has to be, by protobuf's own rules for JSON; prints how many there were of each kind."""

import base64
import json
import sys
from pathlib import Path

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

KINDS = {"traces": ExportTraceServiceRequest, "metrics": ExportMetricsServiceRequest, "logs": ExportLogsServiceRequest}
# in hex, where protobuf's rules would have base64: the one exception that OTLP makes
IDS = {"traceId": 16, "spanId": 8, "parentSpanId": 8}


def with_base64(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    for name, length in IDS.items():
        if found.get(name):
            identity = bytes.fromhex(found[name])
            assert len(identity) == length, found
            found[name] = base64.b64encode(identity).decode()
    return found


counts = {}
for kind, message in KINDS.items():
    lines = [line for path in sorted(Path(sys.argv[1], kind).rglob("*.jsonl")) for line in path.read_text().splitlines()]
    for line in lines:
        # an unknown field, an enum by an unknown name or a number out of range is an error
        parsed = json_format.Parse(json.dumps(json.loads(line, object_pairs_hook=with_base64)), message())
        assert parsed.ByteSize() > 0, line
    counts[kind] = len(lines)
print(json.dumps(counts))
