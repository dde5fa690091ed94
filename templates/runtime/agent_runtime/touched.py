"""Which parts of its state a Tuner's tool touched, which is to read or to write.

A part is a member of the state, or a member of one that is an object, named by a JSON Pointer; `""`
is all of it. A tool that is called again with the same values in the parts that it touched does the
same to them, whatever the rest of the state is.

A Tuner that is made with `tracks_parts=True` gets objects of a class of their own, derived from
dict, at these two levels, and plain dicts below. What goes around a dict's methods, as
`dict.get(state(), key)` does, cannot be recorded. A write of this kind is found after the call, and
counts as one of all the state. Where code in C that is not Python's own is loaded, tools get plain
dicts, and nothing is reported.
"""

import os
import sys

from .wire import decode, encode, printable

_ABSENT = object()
_ALL = object()


class TrackedDict(dict):
    """An object of a Tuner's state: a dict that records which of its members are used."""

    __slots__ = ("_before", "_children", "_handed_out")

    def __new__(cls, *_arguments, **_named):
        made = super().__new__(cls)
        made._before = {}
        made._children = {}
        made._handed_out = False
        return made

    def _touch(self, key):
        """Keeps the text that the member had before, once."""
        if key not in self._before:
            if type(key) is not str or printable(key) != key:
                # another type's key becomes text, and a lone surrogate cannot be sent
                self._touch_all()
            child = dict.get(self, key, _ABSENT)
            self._before[key] = None if child is _ABSENT else _canonical(_plain(child))

    def _touch_all(self):
        if _ALL not in self._before:
            self._before[_ALL] = None
            for key in dict.keys(self):
                self._touch(key)

    def _read(self, key):
        """Before a member is handed out: one that records its own use is not touched by that."""
        child = dict.get(self, key) if type(key) is str else None
        if child is not None and self._children.get(key) is child:
            child._handed_out = True
        else:
            self._touch(key)

    def _removed(self):
        # emptiness could be observed without a call of a method
        if not dict.__len__(self):
            self._touch_all()

    def __getitem__(self, key):
        self._read(key)
        return dict.__getitem__(self, key)

    def get(self, key, default=None):
        self._read(key)
        return dict.get(self, key, default)

    def setdefault(self, key, default=None):
        self._read(key)
        return dict.setdefault(self, key, default)

    def __contains__(self, key):
        self._read(key)
        return dict.__contains__(self, key)

    def __setitem__(self, key, value):
        self._touch(key)
        dict.__setitem__(self, key, value)

    def __delitem__(self, key):
        self._touch(key)
        dict.__delitem__(self, key)
        self._removed()

    def pop(self, key, *default):
        self._touch(key)
        value = dict.pop(self, key, *default)
        self._removed()
        return value

    def update(self, other=(), /, **named):
        if hasattr(other, "keys"):
            for key in other.keys():
                self[key] = other[key]
        else:
            for key, value in other:
                self[key] = value
        for key, value in named.items():
            self[key] = value

    def __ior__(self, other):
        self.update(other)
        return self

    def __copy__(self):
        self._touch_all()
        # as of a plain dict, its members are those of the copy as well
        return dict(dict.items(self))

    copy = __copy__

    def __deepcopy__(self, _memo):
        self._touch_all()
        return decode(encode(_plain(self)))

    def __reduce__(self):
        self._touch_all()
        return dict, (_plain(self),)

    def __reduce_ex__(self, _protocol):
        return self.__reduce__()


def _of_all(name):
    original = getattr(dict, name)

    def method(self, *arguments):
        self._touch_all()
        for other in arguments:
            if type(other) is TrackedDict:
                other._touch_all()
        return original(self, *arguments)

    method.__name__ = name
    return method


for _name in (
    "__iter__ __reversed__ __len__ __eq__ __ne__ __or__ __ror__ __repr__ keys values items popitem "
    "clear"
).split():
    setattr(TrackedDict, _name, _of_all(_name))
TrackedDict.__hash__ = None


def _plain(value):
    """A value that is written down: objects of the state in their own places are no longer tracked."""
    if type(value) is not TrackedDict:
        return value
    children = value._children
    if not children:
        # `dict.copy` would use the methods of this class
        return dict(dict.items(value))
    return {
        key: _plain(part) if children.get(key) is part else part
        for key, part in dict.items(value)
    }


def _tracked(value, depth=0):
    """An object as a tracked one. One without members is plain: its emptiness cannot be recorded."""
    made = TrackedDict()
    dict.update(made, value)
    if depth == 0:
        for key, part in value.items():
            if type(part) is dict and part:
                made._children[key] = child = _tracked(part, depth + 1)
                dict.__setitem__(made, key, child)
    return made


class TrackedState:
    """The state of a call, and what the call did to it."""

    __slots__ = ("_before", "_root")

    def __init__(self, value, text=None):
        """`text` is its canonical JSON text, where that is known."""
        self._before = encode(value, sort=True) if text is None else text
        self._root = _tracked(value)

    @property
    def value(self):
        """The state that the tool gets."""
        return self._root

    def plain(self):
        """The state as it is now, to be encoded once."""
        return _plain(self._root)

    def outcome(self):
        """What differs now, as (path, JSON text) with no text for what is gone; the JSON Pointers of
        the parts that were touched, sorted; and the state, which shares nothing with the tool, with its
        canonical text.

        Raises Unserializable. An object of the state that is met outside of its place is touched.
        """
        after = _canonical(self.plain())
        state = decode(self._before)
        # emptiness could be observed without a call of a method
        everything = [] if state else [""]
        if after == self._before:
            return [], everything or self._touched(), (state, after)
        changes = self._recorded()
        for path, text in changes:
            state = _put(state, path, None if text is None else decode(text), text is None)
        if encode(state, sort=True) != after:
            return [((), after)], [""], (decode(after), after)
        return changes, everything or self._touched(), (state, after)

    def _recorded(self):
        root = self._root
        changes = _changes_of(root, ())
        for name, child in root._children.items():
            if name not in root._before:
                changes += _changes_of(child, (name,))
        return changes

    def _touched(self):
        root = self._root
        if _ALL in root._before:
            return [""]
        found = [pointer_of(key) for key in root._before]
        for name, child in root._children.items():
            if name in root._before or not (child._handed_out or child._before):
                continue
            if _ALL in child._before or not child._before:
                found.append(pointer_of(name))
            else:
                found += [pointer_of(name, key) for key in child._before]
        return sorted(found)


def _put(state, path, part, is_gone):
    """The state with one part set or removed, its keys sorted."""
    if not path:
        return part
    holder = state if len(path) == 1 else state[path[0]]
    if is_gone:
        holder.pop(path[-1], None)
        return state
    is_new = path[-1] not in holder
    holder[path[-1]] = part
    if not is_new:
        return state
    if len(path) == 2:
        state[path[0]] = dict(sorted(holder.items()))
        return state
    return dict(sorted(state.items()))


def _changes_of(tracked, path):
    """The changes of an object; of all of it where its members were not used one by one."""
    changes = []
    for key, before in list(tracked._before.items()):
        if key is not _ALL:
            value = dict.get(tracked, key, _ABSENT)
            text = None if value is _ABSENT else _canonical(_plain(value))
            child = tracked._children.get(key)
            # what was changed inside of it before it was touched as a whole counts as well
            if text != before or (child is not None and _changes_of(child, ())):
                changes.append(((*path, key), text))
    if _ALL in tracked._before:
        has_more = any(key not in tracked._before for key in dict.keys(tracked))
        return [(path, _canonical(_plain(tracked)))] if changes or has_more else []
    return changes


def _canonical(value):
    """Its JSON text with sorted keys, of which those that are no texts become some first."""
    return encode(decode(encode(value)), sort=True)


def pointer_of(*keys):
    """The JSON Pointer of a path."""
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)


_here = os.path.dirname(os.__file__)
_looked_at = 0
_is_seen = sys.implementation.name == "cpython"


def can_track():
    """Whether all code in C that is loaded is Python's own, which uses a dict's methods."""
    global _looked_at, _is_seen
    if _is_seen and len(sys.modules) != _looked_at:
        _looked_at = len(sys.modules)
        _is_seen = not any(map(_is_foreign, list(sys.modules.values())))
    return _is_seen


def _is_foreign(module):
    specification = getattr(module, "__dict__", {}).get("__spec__")
    origin = getattr(specification, "origin", None)
    if not isinstance(origin, str) or not origin.endswith((".so", ".dylib", ".pyd")):
        return False
    folder = os.path.dirname(origin)
    return not (folder.startswith(_here) and os.path.basename(folder) == "lib-dynload")
