"""Server and Tuner: MCP over stdio, in both protocol eras.

The main thread reads, runs sync tools one at a time and writes. Async tools run in the thread
of `loop`. While a sync tool occupies the main thread, the watchdog's thread reads, answers
requests that call no tool, and passes cancellations on.
"""

import _signal
import os
import sys
import time
from _collections import deque
from _contextvars import copy_context
from _thread import get_ident

from . import watch
from .call import (
    CONVERSATION,
    EFFECTS,
    NO_READS,
    REPLAY,
    SCRATCH,
    STATE,
    WHERE,
    Call,
    Cancelled,
    Memory,
    StateError,
    StateFiles,
    current,
    process,
)
from .effects import Pending, effects_of
from .log import LEVELS, log
from .protocol import (
    ARGUMENT_ERRORS_IN_RESULT,
    BATCH_REVISIONS,
    HANDSHAKE_REVISIONS,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    LIST_TTL_MS,
    META_LOG_LEVEL,
    META_SERVER,
    META_VERSION,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    STATELESS_REVISIONS,
    Batch,
    Refused,
    check_stateless,
    error_frame,
    result_frame,
    wants_answer,
)
from .schema import DefinitionError, Invalid
from .tool import Tool, place
from .touched import TrackedState, can_track
from .wire import (
    Broken,
    Frames,
    Unserializable,
    Writer,
    decode,
    encode,
    printable,
    protect_streams,
    quote,
)

_FLUSH_AT = 64
_NOTHING = {}
_NO_READS_TEXT = encode(NO_READS)[1:-1]
_LATER = object()
# The state goes with each call: the client need not restart this server for another state.
CAPABILITIES = {"experimental": {STATE: {}}, "logging": {}, "tools": {"listChanged": False}}
# Calls of several tools that follow each other on one state go in one request.
_CAPABILITIES_BY_PARTS = {**CAPABILITIES, "experimental": {STATE: {}, REPLAY: {}}}
# A replay's answer has the calls that are through by then, so that it takes no call's time limit.
_REPLAY_SECONDS = 0.1
_AFTER_HANDSHAKE = ("tools/list", "tools/call", "logging/setLevel", REPLAY)


def _guard_streams():
    """Under a shim only the protocol may be written to stdout, from the first server on.
    
    Importing this package alone changes nothing: servers of other SDKs import it for the state.
    """
    parent = watch.parent_id()
    if parent is not None:
        protect_streams()
        watch.end_with(parent)


class Server:
    """A Runner: `@server.tool` on typed functions, then `server.run()`."""

    tunes = tracks_parts = False
    capabilities = CAPABILITIES

    def __init__(self, name, version=None, instructions=None):
        process.become_ours()
        _guard_streams()
        self.name = name
        self.version = version or "0.0.0"
        self.instructions = instructions
        self.tools = {}
        self.states = StateFiles()
        self.memory = Memory()
        self.inbox = deque()
        self.running = None
        self.watchdog = watch.Watchdog(self)
        self._loop = None
        self._revision = None
        self._log_level = None
        # By method: in the handshake era, in the stateless one.
        self._handlers = {
            "ping": (self._ping, None),
            "initialize": (self._initialize, None),
            "logging/setLevel": (self._set_level, None),
            "tools/list": (self._list, self._list),
            "server/discover": (None, self._discover),
        }

    def tool(
        self,
        function=None,
        *,
        name=None,
        title=None,
        description=None,
        annotations=None,
        stateful=False,
    ):
        """Registers a typed function as a tool: `@server.tool` or `@server.tool(name="...")`.
        
        A `stateful` tool belongs to a conversation: a host that names none gets a new one's id.
        """

        def register(function):
            meta = {CONVERSATION: {}} if stateful else None
            tool = Tool(function, name, title, description, annotations, meta)
            if tool.name in self.tools:
                first = self.tools[tool.name].function
                raise DefinitionError(
                    f"two tools are called {tool.name!r}: {first.__qualname__} ({place(first)}) and "
                    f"{function.__qualname__} ({place(function)})"
                )
            self.tools[tool.name] = tool
            return function

        return register if function is None else register(function)

    def run(self):
        """Serves until standard input ends."""
        self._open()
        try:
            while self._work() and self.receive():
                pass
            self._work()
            if self._loop is not None:
                self._loop.finish()
        except KeyboardInterrupt:
            sys.exit(130)
        finally:
            self.writer.flush()

    def _open(self):
        for tool in self.tools.values():
            tool.compile()
        self._info = {"name": self.name, "version": self.version}
        self._stamp = f'"{META_SERVER}":{encode(self._info)}'
        tools = encode([tool.definition for tool in self.tools.values()])
        self._listed = f'{{"tools":{tools}}}'
        self._listed_stateless = (
            f'{{"resultType":"complete","tools":{tools},"ttlMs":{LIST_TTL_MS},"cacheScope":"public",'
            f'"_meta":{{{self._stamp}}}}}'
        )
        incoming, outgoing = protect_streams()
        self.frames = Frames(incoming)
        self.writer = Writer(outgoing)
        self.answers_to_file = os.fstat(outgoing).st_mode & 0o170000 == 0o100000
        self._main = get_ident()
        # SIGURG is ignored by default, so one that arrives late has no effect.
        _signal.signal(_signal.SIGURG, self._on_interrupt)
        if os.isatty(incoming):
            log.info(f"{self.name} serves MCP on stdin and stdout; Ctrl-D ends it")

    # Work of the main thread, and the part that the watchdog does while a tool runs.

    def _work(self):
        inbox, writer = self.inbox, self.writer
        while inbox:
            self._handle(inbox.popleft())
            if len(writer) >= _FLUSH_AT:
                writer.flush()
        writer.flush()
        return True

    def receive(self):
        """Reads once into the inbox; False at the end of input."""
        lines = self.frames.read()
        if lines is None:
            return False
        self.inbox.extend(lines)
        return True

    def sort_inbox_during(self, call, lock):
        """For the watchdog, while `call` runs: handles the inbox except sync calls, which wait."""
        with lock:
            if self.running is call:
                waiting = deque()
                for _ in range(len(self.inbox)):
                    self._handle(self.inbox.popleft(), waiting)
                self.inbox.extend(waiting)
        self.writer.flush()

    def _handle(self, item, waiting=None):
        """Handles a line, or a message that waited; sync calls are appended to `waiting`, if given."""
        if type(item) is not str:
            if type(item) is Broken:
                frame = error_frame(None, PARSE_ERROR, f"Parse error: {item.reason}")
                return self.writer.put(frame)
            message, batch = item
            return self._dispatch(message, batch, waiting)
        try:
            message = decode(item)
        except ValueError as error:
            if item.strip():
                self.writer.put(error_frame(None, PARSE_ERROR, f"Parse error: {error}"))
            return None
        if type(message) is list:
            return self._take_batch(message, waiting)
        return self._dispatch(message, None, waiting)

    def _take_batch(self, messages, waiting):
        if not messages or self._revision not in BATCH_REVISIONS:
            why = "an empty batch" if not messages else "batches belong to revision 2025-03-26"
            frame = error_frame(None, INVALID_REQUEST, f"Invalid Request: {why}")
            return self.writer.put(frame)
        batch = Batch(self.writer, sum(map(wants_answer, messages)))
        for message in messages:
            self._dispatch(message, batch, waiting)
        return None

    def _dispatch(self, message, batch, waiting):
        identifier = None
        try:
            if type(message) is not dict:
                raise Refused(INVALID_REQUEST, "Invalid Request: a message is a JSON object")
            method = message.get("method")
            if method is None and ("result" in message or "error" in message):
                return None  # a response; this server sends no requests
            if type(method) is str and "id" not in message:
                return self._notified(method, message.get("params"), waiting)
            if not _is_identifier(message.get("id")):
                raise Refused(INVALID_REQUEST, "Invalid Request: an id is a string or an integer")
            identifier = message["id"]
            if type(method) is not str:
                raise Refused(INVALID_REQUEST, "Invalid Request: a method is a string")
            if message.get("jsonrpc") != "2.0":
                raise Refused(INVALID_REQUEST, 'Invalid Request: "jsonrpc" must be "2.0"')
            if self._request(method, identifier, message.get("params"), batch, waiting) is _LATER:
                waiting.append((message, batch))
        except Refused as refused:
            self._send(error_frame(identifier, refused.code, str(refused), refused.data), batch)
        except Exception as error:
            # No message may end the server; an exception here is a fault of the runtime itself.
            log.error(f"internal error: {error!r}", traceback=_traceback(error))
            self._send(error_frame(identifier, INTERNAL_ERROR, "Internal error"), batch)
        return None

    def _send(self, frame, batch):
        (self.writer if batch is None else batch).put(frame)

    def _request(self, method, identifier, params, batch, waiting):
        if params is None:
            params = _NOTHING
        elif type(params) is not dict:
            raise Refused(INVALID_PARAMS, "params must be an object")
        meta = params.get("_meta")
        if meta is None:
            meta = _NOTHING
        elif type(meta) is not dict:
            raise Refused(INVALID_PARAMS, "params._meta must be an object")
        # Each request chooses its era, but `initialize`, which is the handshake.
        stateless = META_VERSION in meta and method != "initialize"
        if stateless:
            check_stateless(meta)
        elif self._revision is None and method in _AFTER_HANDSHAKE:
            raise Refused(
                INVALID_PARAMS,
                "the session is not initialized, and the request's params._meta lacks "
                f"{META_VERSION}",
            )
        if method == "tools/call":
            return self._call(identifier, params, meta, stateless, batch, waiting)
        if method == REPLAY and self.tracks_parts:
            return self._replay(identifier, params, meta, stateless, batch, waiting)
        handler = self._handlers.get(method, (None, None))[stateless]
        if handler is None:
            raise Refused(METHOD_NOT_FOUND, f"Method not found: {method}")
        self._send(result_frame(identifier, handler(params, stateless)), batch)
        return None

    # Requests except tools/call: each returns its result as JSON text.

    def _ping(self, params, stateless):
        return "{}"

    def _initialize(self, params, stateless):
        requested = params.get("protocolVersion")
        if not isinstance(requested, str):
            raise Refused(INVALID_PARAMS, "params.protocolVersion must be a string")
        self._revision = requested if requested in HANDSHAKE_REVISIONS else HANDSHAKE_REVISIONS[-1]
        result = {
            "protocolVersion": self._revision,
            "capabilities": self.capabilities,
            "serverInfo": self._info,
        }
        if self.instructions:
            result["instructions"] = self.instructions
        return encode(result)

    def _discover(self, params, stateless):
        result = {
            "resultType": "complete",
            "supportedVersions": list(STATELESS_REVISIONS),
            "capabilities": self.capabilities,
            "ttlMs": LIST_TTL_MS,
            "cacheScope": "public",
            "_meta": {META_SERVER: self._info},
        }
        if self.instructions:
            result["instructions"] = self.instructions
        return encode(result)

    def _list(self, params, stateless):
        # All tools are on one page, so this server issues no cursor and ignores one.
        if not isinstance(params.get("cursor", ""), (str, type(None))):
            raise Refused(INVALID_PARAMS, "params.cursor must be a string")
        return self._listed_stateless if stateless else self._listed

    def _set_level(self, params, stateless):
        level = params.get("level")
        if level not in LEVELS:
            raise Refused(INVALID_PARAMS, f"params.level must be one of {', '.join(LEVELS)}")
        self._log_level = level
        return "{}"

    # Notifications.

    def _notified(self, method, params, waiting):
        if method == "notifications/cancelled" and isinstance(params, dict):
            self._cancel(params.get("requestId"), waiting)

    def _cancel(self, identifier, waiting):
        if not _is_identifier(identifier):
            return
        running = self.running
        if running is not None and _same(running.id, identifier):
            running.cancelled = True
            _signal.pthread_kill(self._main, _signal.SIGURG)
        elif waiting is not None:
            for item in [item for item in waiting if _same(item[0]["id"], identifier)]:
                waiting.remove(item)
                if item[1] is not None:
                    item[1].drop()
        if self._loop is not None:
            self._loop.cancel(identifier)

    def _on_interrupt(self, _signal_number, _frame):
        """Ends a cancelled tool: runs in the main thread, also out of a blocking system call."""
        call = self.running
        if call is not None and call.cancelled and not call.interrupted:
            call.interrupted = True
            raise Cancelled

    def forward_log(self, call, level, record):
        """Sends a log line as a notification to a client that has requested its level."""
        wanted = call.meta.get(META_LOG_LEVEL) if call.modern else self._log_level
        if wanted not in LEVELS or LEVELS.index(level) < LEVELS.index(wanted):
            return
        params = {"level": level, "logger": self.name, "data": record}
        try:
            message = {"jsonrpc": "2.0", "method": "notifications/message", "params": params}
            self.writer.put(encode(message) + "\n")
        except UnicodeEncodeError:
            return  # it is on stderr already, with lone surrogates escaped
        self.writer.flush()

    # Calls.

    def _call(self, identifier, params, meta, stateless, batch, waiting):
        name = params.get("name")
        tool = self.tools.get(name) if type(name) is str else None
        if tool is None:
            raise Refused(INVALID_PARAMS, self._unknown_tool(name))
        if waiting is not None and not tool.is_async:
            return _LATER
        arguments = params.get("arguments")
        if arguments is None:
            arguments = _NOTHING
        elif type(arguments) is not dict:
            raise Refused(INVALID_PARAMS, "params.arguments must be an object")
        if meta:
            _check_meta(meta)
        call = Call(self, tool, identifier, arguments, meta, stateless, batch)
        try:
            values = tool.bind(arguments)
        except Invalid as invalid:
            return self._refuse_arguments(call, invalid.message("arguments"))
        call.context = context = copy_context()
        context.run(current.set, call)
        if tool.is_async:
            return self._start_async(call, values)
        self._execute(call, values)
        return None

    def _unknown_tool(self, name):
        if type(name) is not str:
            return "params.name must be the name of a tool"
        return f"Unknown tool: {name}; the tools are {', '.join(self.tools) or 'none'}"

    def _refuse_arguments(self, call, problem):
        if not call.modern and self._revision not in ARGUMENT_ERRORS_IN_RESULT:
            message = f"Invalid arguments for tool {call.tool.name}: {problem}"
            raise Refused(INVALID_PARAMS, message)
        self._send(self._error_result(call, f"Invalid arguments: {problem}"), call.batch)

    def _start_async(self, call, values):
        if self._loop is None:
            from .loop import Loop

            self._loop = Loop(self)
        self._loop.submit(call, values)

    def _execute(self, call, values):
        self.finish(call, *self._run(call, values))

    def _run(self, call, values):
        """Runs a sync tool in the main thread; a cancellation raises Cancelled anywhere inside."""
        if self.watchdog.parked:
            self.watchdog.wake()
        self.watchdog.start()
        value = error = None
        self.running = call
        try:
            try:
                value = call.context.run(call.tool.function, **values)
            except (Cancelled, KeyboardInterrupt):
                raise
            except BaseException as caught:
                error = caught
            self.running = None
        except Cancelled:
            self.running = None
        if self.watchdog.reading:
            with self.watchdog.lock:
                pass  # once the lock is free, the watchdog has seen that this call is over
        return value, error

    def _replay(self, identifier, params, meta, stateless, batch, waiting):
        """Calls that follow each other on one state: the answer has the results of the first ones.

        It ends before a call that is to be made alone: one that fails, that waits for an effect, or
        whose tool is async. Each result has the change of the state in place of the state.
        """
        if waiting is not None:
            return _LATER
        calls = params.get("calls")
        if type(calls) is not list or type(meta.get(STATE)) is not dict:
            raise Refused(INVALID_PARAMS, f"a replay has `calls`, and {STATE} in its _meta")
        if not can_track():
            raise Refused(INVALID_REQUEST, "code in C that is not Python's own is loaded")
        after = (self.states.own(meta[STATE]),)
        results = []
        ends = time.monotonic() + _REPLAY_SECONDS
        for given in calls:
            tracked = TrackedState(*after)
            call = self._call_of_replay(identifier, given, stateless, batch, tracked)
            result = None if call is None else self._result_in_replay(call)
            if call is not None and call.cancelled:
                return batch.drop() if batch is not None else None
            if result is None:
                break
            results.append(result)
            if call.after is not None:
                after = call.after
            if time.monotonic() > ends:
                break
        self._send(result_frame(identifier, f'{{"results":[{",".join(results)}]}}'), batch)
        return None

    def _call_of_replay(self, identifier, given, stateless, batch, tracked):
        tool = self.tools.get(given.get("name"))
        if tool is None or tool.is_async:
            return None
        meta = given.get("_meta") or {}
        _check_meta(meta)
        call = Call(self, tool, identifier, given["arguments"], meta, stateless, batch, tracked)
        call.context = copy_context()
        call.context.run(current.set, call)
        return call

    def _result_in_replay(self, call):
        """The result of a call as JSON text; None where it has to be made alone."""
        try:
            value, error = self._run(call, call.tool.bind(call.arguments))
            return None if error is not None or call.cancelled else self._result(call, value)
        except (Invalid, Unserializable):
            return None

    def finish(self, call, value, error):
        """Answers a call with its value or its error; a cancelled call is not answered."""
        if call.cancelled:
            log.write("info", "cancelled", {}, call)
            if call.batch is not None:
                call.batch.drop()
            return
        if error is None:
            try:
                return self._send(result_frame(call.id, self._result(call, value)), call.batch)
            except Invalid as invalid:
                error = Unserializable(invalid.message("result"))
            except (Unserializable, UnicodeEncodeError) as caught:
                error = Unserializable(f"the result cannot be sent: {caught}")
        if isinstance(error, Pending):
            return self._send(self._pending_result(call, error.requests), call.batch)
        self._fail(call, error)

    def _pending_result(self, call, requests):
        """No value yet: the tool is called again once its effects have results."""
        side = {EFFECTS: {"used": effects_of(call).used, "requests": requests}}
        extra = self._extra(call, side)
        return result_frame(call.id, f'{{"content":[],"isError":false{extra}}}')

    def _result(self, call, value):
        """The result of a call as JSON text."""
        tool = call.tool
        if tool.dump is not None:
            value = tool.dump(value)
        text = encode(value)
        first = text[0]
        as_object = tool.returns_object if tool.dump is not None else first == "{"
        structured = text if as_object else f'{{"result":{text}}}'
        shown = text if first == '"' else quote(text)
        content = f'[{{"type":"text","text":{shown}}}]' if value is not None else "[]"
        side = call.side_results()
        extra = self._extra(call, side)
        if call.remembered:
            call.remember()
        return (
            f'{{"content":{content},"structuredContent":{structured},"isError":false{extra}}}'
        )

    def _extra(self, call, side):
        """The rest of a result: the stateless era's fields, and `_meta`."""
        if side is NO_READS:
            members = _NO_READS_TEXT
        else:
            members = encode(side)[1:-1] if side else ""
        if call.modern:
            members = f"{members},{self._stamp}" if members else self._stamp
            return f',"resultType":"complete","_meta":{{{members}}}'
        return f',"_meta":{{{members}}}' if members else ""

    def _fail(self, call, error):
        text = _words(error)
        fields, where = {}, None
        if not isinstance(error, (Unserializable, StateError)):
            fields, where = {"traceback": _traceback(error)}, _where(error)
        log.write("error", f"the tool failed: {text}", fields, call)
        self._send(self._error_result(call, text, where), call.batch)

    def _error_result(self, call, text, where=None):
        shown = quote(printable(text))
        side = {} if self.tunes else call.traces()
        if where is not None:
            side[WHERE] = where
        extra = self._extra(call, side)
        content = f'[{{"type":"text","text":{shown}}}]'
        return result_frame(call.id, f'{{"content":{content},"isError":true{extra}}}')


class Tuner(Server):
    """A Tuner: its tools change a copy of the staging state, which the runtime returns."""

    tunes = True

    def __init__(self, name, version=None, instructions=None, *, tracks_parts=False):
        """With `tracks_parts`, the parts of the state that a tool touches go with its result, so that
        `agent feedback withdraw` replays fewer signals. `state()` is a subclass of dict then."""
        super().__init__(name, version, instructions)
        if tracks_parts:
            self.tracks_parts = True
            self.capabilities = _CAPABILITIES_BY_PARTS


def _is_identifier(value):
    if type(value) is str:
        return value == printable(value)
    return type(value) is int


def _same(one, other):
    return type(one) is type(other) and one == other


def _check_meta(meta):
    """Checks the types of the keys of `_meta` that the runtime reads; raises Refused."""
    for key in (STATE, CONVERSATION, SCRATCH, EFFECTS):
        if key in meta and type(meta[key]) is not dict:
            raise Refused(INVALID_PARAMS, f"params._meta: {key} must be an object")


def _words(error):
    """An exception's text for the caller: type and message; of the runtime's own, the message."""
    try:
        message = str(error)
    except Exception:
        message = "(its message cannot be shown)"
    if isinstance(error, (Unserializable, StateError)):
        return message
    return f"{type(error).__qualname__}: {message}" if message else type(error).__qualname__


def _traceback(error):
    """A traceback without the runtime's outer frames."""
    import traceback

    here = os.path.dirname(__file__)
    user = error.__traceback__
    while user is not None and os.path.dirname(user.tb_frame.f_code.co_filename) == here:
        user = user.tb_next
    return "".join(traceback.format_exception(type(error), error, user or error.__traceback__))


def _where(error):
    """`FILE:LINE` of the innermost frame in the server's own code; None where there is none.
    
    The path is relative to the working directory."""
    here = os.path.dirname(__file__)
    folder = os.path.join(os.getcwd(), "")
    where = None
    frame = error.__traceback__
    while frame is not None:
        file = os.path.join(folder, frame.tb_frame.f_code.co_filename)
        is_own = file.startswith(folder) and os.path.dirname(file) != here
        if is_own and "site-packages" not in file:
            where = f"{os.path.relpath(file, folder)}:{frame.tb_lineno}"
        frame = frame.tb_next
    return where
