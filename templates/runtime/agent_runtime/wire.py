"""JSON, and newline-delimited frames over two file descriptors that user code cannot reach.

`json` imports `re`, which takes half of a bare interpreter's start time. So this module uses the
C accelerator of `json` directly, and `json` where an interpreter has none.
"""

import os
import sys
from _collections import deque
from _thread import allocate_lock

MAX_FRAME = 64 * 1024 * 1024
_READ_SIZE = 65536


class Unserializable(Exception):
    """A value that has no JSON form; the message says which and why."""


def _reject_constant(name):
    raise ValueError(f"{name} is not JSON")


def plain(value):
    """The JSON form of dataclasses, enums and states, for the encoder."""
    fields = getattr(type(value), "__dataclass_fields__", None)
    if fields is not None:
        return {name: getattr(value, name) for name in fields}
    if hasattr(type(value), "__members__"):
        return value.value
    if hasattr(value, "__agent_plain__"):
        return value.__agent_plain__()
    raise Unserializable(f"a {type(value).__qualname__} is not JSON-serializable")


try:
    from _json import encode_basestring as quote
    from _json import make_encoder, make_scanner

    class _Rules:
        strict = True
        object_hook = object_pairs_hook = None
        parse_float = float
        parse_int = int
        parse_constant = staticmethod(_reject_constant)
        memo = {}

    _scan = make_scanner(_Rules())
    _encoders = {
        sort: make_encoder(None, plain, quote, None, ":", ",", sort, False, False)
        for sort in (False, True)
    }
    _chunks = _encoders[False]
    _sorted_chunks = _encoders[True]
except (ImportError, TypeError):
    import json
    from json.encoder import encode_basestring as quote

    _scan = json.JSONDecoder(parse_constant=_reject_constant).scan_once

    def _encoder(sort):
        encoder = json.JSONEncoder(
            ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=plain, sort_keys=sort
        )
        return lambda value, _indent: encoder.encode(value)

    _chunks = _encoder(False)
    _sorted_chunks = _encoder(True)


def decode(text):
    """The value of one JSON text; raises ValueError with the position of an error."""
    try:
        value, end = _scan(text, 0)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except (StopIteration, SystemError):
        # The bare scanner accepts no leading space, and some versions need `json` to report errors.
        return _decode_or_explain(text)
    if end != len(text) and text[end:].strip(" \t\r\n"):
        raise ValueError(f"Extra data: char {end}")
    return value


def _decode_or_explain(text):
    import json

    try:
        return json.loads(text, parse_constant=_reject_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def encode(value, sort=False):
    """Compact JSON text, never with NaN or Infinity; raises Unserializable."""
    try:
        return "".join((_sorted_chunks if sort else _chunks)(value, 0))
    except RecursionError:
        raise Unserializable("it contains itself, or is nested too deeply") from None
    except (TypeError, ValueError) as error:
        raise Unserializable(str(error)) from None


def printable(text):
    """Text that has a UTF-8 form: lone surrogates as their escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


class Broken:
    """A line that is not valid text, in its place among the others."""

    def __init__(self, reason):
        self.reason = reason


def _text_of(line):
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        return Broken(f"invalid UTF-8 at byte {error.start}")


class Frames:
    """Reads complete lines from a pipe."""

    def __init__(self, fd, limit=MAX_FRAME):
        self.fd = fd
        self._limit = limit
        self._parts = []
        self._size = 0
        self._skipping = False

    def read(self):
        """Blocks for the next bytes; returns the completed lines, or None at the end of input."""
        data = os.read(self.fd, _READ_SIZE)
        if not data:
            return self._last_line()
        cut = data.rfind(b"\n")
        if cut < 0:
            self._keep(data)
            return ()
        head = self._join(data[:cut])
        self._keep(data[cut + 1 :])
        return head

    def _keep(self, data):
        if not data or self._skipping:
            return
        self._parts.append(data)
        self._size += len(data)
        if self._size > self._limit:
            self._parts.clear()
            self._skipping = True

    def _join(self, data):
        """The lines of the kept bytes and `data`, which ends with a line."""
        lines = []
        if self._skipping:
            self._skipping = False
            self._size = 0
            lines.append(Broken(f"a line longer than {self._limit} bytes"))
            _, newline, data = data.partition(b"\n")
            if not newline:
                return lines
        elif self._parts:
            data = b"".join((*self._parts, data))
        self._parts.clear()
        self._size = 0
        try:
            lines += data.decode().split("\n")
        except UnicodeDecodeError:
            lines += [_text_of(line) for line in data.split(b"\n")]
        return lines

    def _last_line(self):
        """The last line without a newline at the end of input, once; then None."""
        return self._join(b"") if self._parts or self._skipping else None


class Writer:
    """Writes frames, coalesced: `put` queues, `flush` writes the queue, from any thread."""

    def __init__(self, fd):
        self.fd = fd
        self._queue = deque()
        self._lock = allocate_lock()

    def put(self, frame):
        """Queues one frame (text that ends in a newline); a lone surrogate raises UnicodeEncodeError."""
        self._queue.append(frame.encode())

    def __len__(self):
        return len(self._queue)

    def flush(self):
        queue = self._queue
        with self._lock:
            while queue:
                # Only the holder of the lock removes frames, and others append: the order is kept.
                parts = [queue.popleft() for _ in range(len(queue))]
                self._write(b"".join(parts))

    def _write(self, data):
        try:
            written = os.write(self.fd, data)
            if written < len(data):
                view = memoryview(data)
                while written < len(data):
                    written += os.write(self.fd, view[written:])
        except BrokenPipeError:
            # The client is gone, and this thread may not be the one that can end the others.
            os._exit(1)


_streams = None


def protect_streams():
    """Moves the protocol off descriptors 0 and 1, once.
    
    User code's prints then go to stderr, and its reads from stdin return an end of file."""
    global _streams
    if _streams is None:
        _streams = os.dup(0), os.dup(1)
        os.dup2(2, 1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(line_buffering=True)
    return _streams
