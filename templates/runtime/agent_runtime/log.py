"""Structured log lines on standard error: one JSON object each."""

import os
from time import gmtime, time_ns

from .call import SIGNAL, current
from .wire import Unserializable, encode

LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")


def _now():
    nanoseconds = time_ns()
    year, month, day, hour, minute, second = gmtime(nanoseconds // 1_000_000_000)[:6]
    fraction = nanoseconds // 1000 % 1_000_000
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z"


def _surroundings(call):
    """The fields that relate a line to its call: tool, conversation, signal, trace."""
    fields = {"tool": call.tool.name}
    identifier = call.conversation_id()
    if identifier is not None:
        fields["conversation"] = identifier
    signal = call.meta.get(SIGNAL)
    if isinstance(signal, dict) and "id" in signal:
        fields["signal"] = signal["id"]
    trace = call.meta.get("traceparent")
    if isinstance(trace, str) and trace.count("-") >= 3:
        _, fields["trace_id"], fields["span_id"], *_ = trace.split("-")
    return fields


class Log:
    """`log.info("ranked", hits=3)`; fields may have any type, and are shown by repr if not JSON."""

    def debug(self, message, /, **fields):
        self.write("debug", message, fields)

    def info(self, message, /, **fields):
        self.write("info", message, fields)

    def warning(self, message, /, **fields):
        self.write("warning", message, fields)

    def error(self, message, /, **fields):
        self.write("error", message, fields)

    def write(self, level, message, fields, call=None):
        call = call or current.get()
        record = {"time": _now(), "level": level, "message": str(message)}
        if call is not None:
            record.update(_surroundings(call))
        for name, value in fields.items():
            record[f"{name}_" if name in record else name] = value
        record = _presentable(record)
        try:
            os.write(2, f"{encode(record)}\n".encode("utf-8", "backslashreplace"))
        except OSError:
            return  # a failed log line must not fail the call
        if call is not None:
            call.server.forward_log(call, level, record)


def _presentable(record):
    try:
        encode(record)
    except Unserializable:
        return {name: _shown(value) for name, value in record.items()}
    return record


def _shown(value):
    try:
        encode(value)
    except Unserializable:
        return repr(value)
    return value


log = Log()
