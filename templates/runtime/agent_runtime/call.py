"""One call: its state, its conversation, and its facts for the Tuner."""

import os
from _collections_abc import Mapping
from _contextvars import ContextVar

from .touched import TrackedState, can_track, pointer_of
from .wire import Unserializable, decode, encode, printable

PREFIX = "dev.agentvc/"
STATE = PREFIX + "state"
CONVERSATION = PREFIX + "conversation"
READS = PREFIX + "reads"
TOUCHED = PREFIX + "touched"
REPLAY = PREFIX + "replay"
WHERE = PREFIX + "where"
SIGNAL = PREFIX + "signal"
SCRATCH = PREFIX + "scratch"
COST = PREFIX + "cost"
EFFECTS = PREFIX + "effects"
# The metadata of most results; the server has it as text.
NO_READS = {READS: []}
STATE_FILE = os.path.join("state", "active.state.json")

_KEPT_REVISIONS = 8
_KEPT_CONVERSATIONS = 1000

current = ContextVar("agent_runtime_call", default=None)


class Cancelled(BaseException):
    """Raised inside a tool whose call is cancelled; `except Exception` does not catch it."""


class StateError(Exception):
    """The state of a call cannot be read."""


def _read_only(self, *_arguments, **_named):
    raise TypeError("the state is read-only in a Runner; only a Tuner's tool can change it")


class FrozenDict(dict):
    """An object inside a Runner's state: a read-only dict, since calls share it."""

    __slots__ = ()
    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _read_only

    def __deepcopy__(self, memo):
        return thaw(self)

    def __copy__(self):
        return dict(self)

    def copy(self):
        return dict(self)

    def __reduce__(self):
        return dict, (thaw(self),)


class FrozenList(list):
    """An array inside a Runner's state: a read-only list."""

    __slots__ = ()
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _read_only
    append = clear = extend = insert = pop = remove = reverse = sort = _read_only

    def __deepcopy__(self, memo):
        return thaw(self)

    def __copy__(self):
        return list(self)

    def copy(self):
        return list(self)

    def __reduce__(self):
        return list, (thaw(self),)


def freeze(value):
    if type(value) is dict:
        return FrozenDict((key, freeze(part)) for key, part in value.items())
    if type(value) is list:
        return FrozenList([freeze(part) for part in value])
    return value


def thaw(value):
    """A deep copy of plain, mutable dicts and lists."""
    if isinstance(value, Mapping):
        return {key: thaw(part) for key, part in value.items()}
    if isinstance(value, list):
        return [thaw(part) for part in value]
    return value


class State(Mapping):
    """A Runner's state: a read-only mapping that records the keys that a call reads."""

    __slots__ = ("_reads", "_revision", "_value")

    def __init__(self, value, revision, reads):
        self._value = value
        self._reads = reads
        self._revision = revision

    @property
    def revision(self):
        # Code that depends on the revision depends on the whole state.
        self._reads.add("*")
        return self._revision

    def __getitem__(self, key):
        # A missing key is recorded too: the result could differ if it existed.
        self._reads.add(key)
        return self._value[key]

    def __contains__(self, key):
        self._reads.add(key)
        return key in self._value

    def get(self, key, default=None):
        self._reads.add(key)
        return self._value.get(key, default)

    def __iter__(self):
        self._reads.add("*")
        return iter(self._value)

    def __len__(self):
        self._reads.add("*")
        return len(self._value)

    def __repr__(self):
        return f"<State {self._revision} with {', '.join(map(str, self._value))}>"

    def __agent_plain__(self):
        self._reads.add("*")
        return self._value

    def __deepcopy__(self, memo):
        return thaw(self)


class StateFiles:
    """A cache of parsed states, newest last.
    
    By revision, and for a run without a shim by path and modification time."""

    def __init__(self):
        self._parsed = {}

    def load(self, given):
        """(frozen value, revision) of a `dev.agentvc/state` value; None: of the fallback file."""
        if given is None:
            return self._fallback()
        revision = given.get("revision")
        if "value" in given:
            value = _must_be_object(given["value"], "the state in the request")
            return freeze(value), revision
        path = _path(given)
        return self._cached(revision or path, path), revision

    def own(self, given):
        """The same for a Tuner, which gets a copy to change: the one in the request is its own."""
        if given is not None and "value" in given:
            return _must_be_object(given["value"], "the state in the request")
        return _parsed(_path(given) if given is not None else fallback_path())

    def _fallback(self):
        path = fallback_path()
        try:
            stamp = os.stat(path)
        except OSError as error:
            raise StateError(f"no state: {path}: {error.strerror}") from None
        return self._cached((path, stamp.st_ino, stamp.st_mtime_ns, stamp.st_size), path), None

    def _cached(self, key, path):
        value = self._parsed.pop(key, None)
        if value is None:
            value = freeze(_parsed(path))
        self._parsed[key] = value
        while len(self._parsed) > _KEPT_REVISIONS:
            del self._parsed[next(iter(self._parsed))]
        return value


def fallback_path():
    return os.environ.get("AGENT_STATE_FILE") or STATE_FILE


def _path(given):
    path = given.get("path")
    if isinstance(path, str):
        return path
    raise StateError(f"the request's {STATE} names neither a path nor a value")


def _parsed(path):
    try:
        with open(path, "rb") as file:
            text = file.read().decode()
        return _must_be_object(decode(text), f"the state {path}")
    except OSError as error:
        raise StateError(f"no state: {path}: {error.strerror}") from None
    except ValueError as error:
        raise StateError(f"the state {path} is not JSON: {error}") from None


def _must_be_object(value, where):
    if isinstance(value, dict):
        return value
    raise StateError(f"{where} must be a JSON object")


class Conversation:
    """A conversation: `data` is kept from turn to turn, `turns` is its record for a Tuner."""

    __slots__ = ("data", "id", "turn", "turns")

    def __init__(self, identifier=None, turn=0, data=None, turns=()):
        self.id = identifier
        self.turn = turn
        self.data = {} if data is None else data
        self.turns = list(turns)

    def __repr__(self):
        return f"<Conversation {self.id} turn {self.turn}>"


class Memory:
    """Conversations of a run without a shim: id -> (turns so far, data as JSON text)."""

    def __init__(self):
        self._kept = {}

    def recall(self, identifier):
        turn, data = self._kept.get(identifier, (0, "{}"))
        return Conversation(identifier, turn + 1, decode(data))

    def keep(self, identifier, turn, data):
        self._kept.pop(identifier, None)
        self._kept[identifier] = turn, data
        while len(self._kept) > _KEPT_CONVERSATIONS:
            del self._kept[next(iter(self._kept))]


class Call:
    """A call's inputs for the tool's code, and the metadata of its result."""

    __slots__ = (
        "after",
        "arguments",
        "batch",
        "before",
        "cancelled",
        "context",
        "conversation",
        "effects",
        "facts",
        "id",
        "interrupted",
        "is_replayed",
        "meta",
        "modern",
        "reads",
        "remembered",
        "server",
        "state",
        "tool",
        "tracked",
        "usd",
    )

    def __init__(self, server, tool, identifier, arguments, meta, modern, batch, tracked=None):
        self.server = server
        self.tool = tool
        self.id = identifier
        self.arguments = arguments
        self.meta = meta
        self.modern = modern
        self.batch = batch
        self.cancelled = self.interrupted = self.remembered = False
        self.context = self.conversation = self.effects = self.facts = self.reads = None
        self.state = self.before = self.after = self.usd = None
        # the call is one of a replay, whose next one gets the state that this one leaves: `after`,
        # where this one looked at it
        self.is_replayed = tracked is not None
        self.tracked = tracked

    def see_state(self):
        if self.state is None:
            given = self.meta.get(STATE)
            if self.server.tunes:
                self._see_own_state(given)
            else:
                self.reads = set()
                value, revision = self.server.states.load(given)
                self.state = State(value, revision, self.reads)
        return self.state

    def _see_own_state(self, given):
        if self.tracked is None:
            value = self.server.states.own(given)
            if not (self.server.tracks_parts and can_track()):
                self.before = encode(value)
                self.state = value
                return
            self.tracked = TrackedState(value)
        self.state = self.tracked.value

    def see_conversation(self):
        if self.conversation is None:
            self.conversation = self._conversation()
        return self.conversation

    def conversation_id(self):
        given = self.meta.get(CONVERSATION)
        identifier = given.get("id") if given is not None else self.arguments.get("conversation_id")
        return identifier if isinstance(identifier, str) else None

    def _conversation(self):
        identifier = self.conversation_id()
        if identifier is None:
            return Conversation()
        given = self.meta.get(CONVERSATION) or {}
        if self.server.tunes:
            turns = given.get("turns") or ()
            return Conversation(identifier, len(turns), turns=turns)
        if "turn" in given:
            return Conversation(identifier, given["turn"], given.get("data"))
        # The client does not keep this conversation, so this process does.
        self.remembered = True
        return self.server.memory.recall(identifier)

    def note(self, facts):
        self.facts = {**(self.facts or {}), **facts}

    def spend(self, usd):
        # A comparison with NaN is false, so this refuses it as well; infinity has no JSON form.
        is_number = isinstance(usd, (int, float)) and not isinstance(usd, bool)
        if not is_number or not 0 <= usd < float("inf"):
            raise ValueError(f"usd must be a number of US dollars, 0 or more, not {usd!r}")
        self.usd = (self.usd or 0) + usd

    def scratch_folder(self):
        given = self.meta.get(SCRATCH)
        return given.get("path") if given is not None else os.environ.get("AGENT_SCRATCH")

    def side_results(self):
        """The runtime's keys of the result's `_meta`, not to be changed; raises Unserializable."""
        meta = {}
        if self.server.tunes:
            meta.update(self._own_state())
            if self.effects is not None and self.effects.used:
                meta[EFFECTS] = {"used": self.effects.used}
            return meta
        if self.conversation_id() is not None:
            conversation = self.see_conversation()
            meta[CONVERSATION] = {
                "id": conversation.id,
                "data": conversation.data,
                "facts": self.facts or {},
            }
        elif self.reads is None and self.usd is None and STATE in self.meta:
            return NO_READS
        meta.update(self.traces())
        return meta

    def _own_state(self):
        """Of a Tuner: the state where it changed, and what of it was touched."""
        if self.state is None:
            return {TOUCHED: []} if self.server.tracks_parts else {}
        if self.tracked is None:
            return {STATE: {"value": self.state}} if self._state_changed() else {}
        try:
            changes, touched, after = self.tracked.outcome()
        except Unserializable as error:
            raise Unserializable(f"the new state: {error}") from None
        # code that was loaded meanwhile may have read more
        meta = {TOUCHED: touched} if can_track() else {}
        if changes and self.is_replayed:
            meta[STATE] = {"change": [_operation(*change) for change in changes]}
        elif changes:
            meta[STATE] = {"value": self.tracked.plain()}
        self.after = after
        return meta

    def traces(self):
        """Metadata of results and errors alike: the keys that were read, and the cost."""
        traces = {}
        reads = self.read_keys()
        if reads is not None:
            traces[READS] = reads
        if self.usd is not None:
            traces[COST] = {"usd": self.usd}
        return traces

    def read_keys(self):
        """The keys of the state that this call read; None where there was no state."""
        if self.reads is None:
            return [] if STATE in self.meta else None
        if "*" in self.reads:
            return ["*"]
        return sorted(printable(key) for key in self.reads if isinstance(key, str))

    def remember(self):
        """After a successful call: keeps the data for the next turn of the conversation."""
        if self.remembered:
            kept = self.conversation
            self.server.memory.keep(kept.id, kept.turn, encode(kept.data))

    def _state_changed(self):
        try:
            after = encode(self.state)
        except Unserializable as error:
            raise Unserializable(f"the new state: {error}") from None
        if after == self.before:
            return False
        # The same keys in another order are the same state.
        return encode(self.state, sort=True) != encode(decode(self.before), sort=True)


def _operation(path, text):
    """A change of a part of the state, in JSON Patch."""
    pointer = pointer_of(*path)
    if text is None:
        return {"op": "remove", "path": pointer}
    return {"op": "add", "path": pointer, "value": decode(text)}


class Process:
    """The kind of this process: a server of this package, or one of another SDK."""

    def __init__(self):
        self.is_ours = False
        self._states = None

    def become_ours(self):
        if self._states is not None:
            # That state would not change, while each call has its own.
            raise RuntimeError(
                "state() was called before the Server was made: call it inside a tool"
            )
        self.is_ours = True

    def foreign_state(self):
        """The state that a server of another SDK was started with; it is restarted for another."""
        if self._states is None:
            self._states = StateFiles()
        value, revision = self._states.load(None)
        return State(value, revision, set())


process = Process()


def running(what):
    """The call that runs, for the function of that name."""
    call = current.get()
    if call is None:
        where = "in its own context" if process.is_ours else "of a Server of agent_runtime"
        raise RuntimeError(f"{what}() works only while a tool {where} runs")
    return call


def state():
    """The call's state: a read-only mapping in a Runner, a mutable copy in a Tuner.

    In a server of another SDK: the state that the process was started with, at any time.
    """
    if current.get() is None and not process.is_ours:
        return process.foreign_state()
    return running("state").see_state()


def conversation():
    """The call's conversation; its `id` is None without one."""
    return running("conversation").see_conversation()


def note(**facts):
    """Records facts of this turn of the conversation for the Tuner."""
    running("note").note(facts)


def cost(*, usd):
    """Adds to this call's cost in US dollars. Tests sum it up and compare it with a budget."""
    running("cost").spend(usd)


def scratch():
    """The folder whose files a test case checks, as a pathlib.Path; None where there is none."""
    if current.get() is None and not process.is_ours:
        return _path_or_none(os.environ.get("AGENT_SCRATCH"))
    return _path_or_none(running("scratch").scratch_folder())


def data():
    """The folder for the server's own files, which all versions share, as a pathlib.Path.
    
    None outside of `agent`."""
    return _path_or_none(os.environ.get("AGENT_DATA"))


def _path_or_none(folder):
    if folder is None:
        return None
    from pathlib import Path

    return Path(folder)
