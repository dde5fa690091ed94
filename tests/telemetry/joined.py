"""Reads what `agent` has on record with DuckDB, as the files are, and joins the calls with the rewards for them."""

import json
import sys

import duckdb

CALLS = """
    SELECT span.traceId AS trace, span.spanId AS id, span.name AS name
    FROM (SELECT unnest(scope.spans) AS span FROM (SELECT unnest(resource.scopeSpans) AS scope FROM
         (SELECT unnest(resourceSpans) AS resource FROM read_json_auto($traces))))
    WHERE span.kind = 3 AND len(list_filter(span.attributes, lambda a: a.key = 'agent.role' AND a.value.stringValue = 'runner')) > 0
"""
REWARDS = """
    SELECT record.traceId AS trace, record.spanId AS id,
        list_filter(record.attributes, lambda a: a.key = 'gen_ai.evaluation.score.value')[1].value.doubleValue AS score
    FROM (SELECT unnest(scope.logRecords) AS record FROM (SELECT unnest(resource.scopeLogs) AS scope FROM
         (SELECT unnest(resourceLogs) AS resource FROM read_json_auto($logs))))
    WHERE record.eventName = 'gen_ai.evaluation.result'
"""

folder = sys.argv[1]
files = {"traces": f"{folder}/traces/**/*.jsonl", "logs": f"{folder}/logs/**/*.jsonl"}
joined = duckdb.execute(
    f"SELECT call.name, reward.score FROM ({CALLS}) AS call JOIN ({REWARDS}) AS reward USING (trace, id) ORDER BY reward.score", files
)
print(json.dumps(joined.fetchall()))
