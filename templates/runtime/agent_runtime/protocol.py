"""Constants of MCP's two eras, and the text of frames."""

from _thread import allocate_lock

from .wire import encode, printable

HANDSHAKE_REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
STATELESS_REVISIONS = ("2026-07-28",)
BATCH_REVISIONS = ("2024-11-05", "2025-03-26")
# From this revision on, invalid arguments are an error of the tool, which a model can read and fix.
ARGUMENT_ERRORS_IN_RESULT = ("2025-11-25",)

META_VERSION = "io.modelcontextprotocol/protocolVersion"
META_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
META_LOG_LEVEL = "io.modelcontextprotocol/logLevel"
META_SERVER = "io.modelcontextprotocol/serverInfo"

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
UNSUPPORTED_VERSION = -32022

LIST_TTL_MS = 60_000


class Refused(Exception):
    """A request answered with a JSON-RPC error."""

    def __init__(self, code, message, data=None):
        super().__init__(message)
        self.code = code
        self.data = data


def result_frame(identifier, result):
    """A response; `result` is JSON text."""
    return f'{{"jsonrpc":"2.0","id":{encode(identifier)},"result":{result}}}\n'


def error_frame(identifier, code, message, data=None):
    error = {"code": code, "message": printable(message)}
    if data is not None:
        error["data"] = data
    return encode({"jsonrpc": "2.0", "id": identifier, "error": error}) + "\n"


def check_stateless(meta):
    """Checks a request's `_meta` in the stateless era; raises Refused."""
    if META_CAPABILITIES not in meta:
        raise Refused(INVALID_PARAMS, f"params._meta lacks {META_CAPABILITIES}")
    version = meta[META_VERSION]
    if not isinstance(version, str):
        raise Refused(INVALID_PARAMS, f"params._meta: {META_VERSION} must be a string")
    if version not in STATELESS_REVISIONS:
        known = {"supported": list(STATELESS_REVISIONS), "requested": printable(version)}
        raise Refused(UNSUPPORTED_VERSION, f"Unsupported protocol version {version}", known)


def wants_answer(message):
    """Whether an element of a batch is answered, with a result or an error."""
    if not isinstance(message, dict):
        return True
    if "method" in message:
        return "id" in message or not isinstance(message["method"], str)
    return not ("result" in message or "error" in message)


class Batch:
    """Collects the responses of a JSON-RPC batch from all threads into one frame."""

    def __init__(self, writer, expected):
        self._writer = writer
        self._expected = expected
        self._frames = []
        self._lock = allocate_lock()

    def put(self, frame):
        frame.encode()  # raises here, where the sender can still answer with an error
        self._gather(frame[:-1])

    def drop(self):
        self._gather(None)

    def _gather(self, frame):
        with self._lock:
            self._expected -= 1
            if frame is not None:
                self._frames.append(frame)
            if self._expected == 0 and self._frames:
                self._writer.put(f"[{','.join(self._frames)}]\n")
