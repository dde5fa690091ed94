"""Compiles type hints to JSON Schema (2020-12) and to two conversions: `load` and `dump`.

Nothing here imports `typing`, `dataclasses`, `enum` or `inspect`, which are slow: where a hint
uses one of them, its module is loaded already.
"""

import sys
from _collections_abc import (
    Collection,
    Iterable,
    Mapping,
    MutableMapping,
    MutableSequence,
    Sequence,
    Set,
)

from .wire import Unserializable, decode, encode

SUPPORTED = (
    "str, int, float, bool, None, Any, list, dict, tuple, set, unions, Optional, Literal, Enum, dataclasses, "
    "TypedDict and Annotated"
)
_LISTS = (list, Sequence, MutableSequence, Iterable, Collection)
_DICTS = (dict, Mapping, MutableMapping)
_SETS = (set, frozenset, Set)


class DefinitionError(TypeError):
    """The definition of a tool is invalid."""


class Invalid(Exception):
    """A value of the wrong type; `path` grows from the inside out."""

    def __init__(self, problem):
        super().__init__(problem)
        self.problem = problem
        self.path = ()

    def within(self, step):
        self.path = (step, *self.path)
        return self

    def message(self, root):
        steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path)
        return f"{root}{''.join(steps)}: {self.problem}"


def kind(value):
    """The JSON type of a value, with the value where it is short."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    for python, word in ((int, "integer"), (float, "number"), (str, "string")):
        if isinstance(value, python):
            shown = repr(value)
            return f"{word} {shown if len(shown) <= 60 else shown[:57] + '...'}"
    if isinstance(value, (list, tuple)):
        return "array"
    return "object" if isinstance(value, Mapping) else f"a {type(value).__qualname__}"


def _expected(what, value):
    return Invalid(f"expected {what}, got {kind(value)}")


class Shape:
    """A compiled hint: its schema and the conversions from and to JSON."""

    __slots__ = ("dump", "load", "schema")

    def __init__(self, schema, load, dump):
        self.schema = schema
        self.load = load
        self.dump = dump


def _load_str(value):
    if type(value) is str:
        return value
    raise _expected("string", value)


def _dump_str(value):
    if isinstance(value, str):
        return value
    raise _expected("string", value)


def _load_int(value):
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(value)
    raise _expected("integer", value)


def _dump_int(value):
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise _expected("integer", value)


def _load_float(value):
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise _expected("a number that a double can hold", value) from None
    if type(value) is float and value - value == 0.0:
        return value
    raise _expected("number", value)


def _dump_float(value):
    if isinstance(value, float):
        if value - value != 0.0:
            raise Invalid(f"{value!r} has no JSON form")
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise _expected("number", value)


def _bool(value):
    if value is True or value is False:
        return value
    raise _expected("boolean", value)


def _null(value):
    if value is None:
        return None
    raise _expected("null", value)


def _anything(value):
    return value


def _object(value):
    if isinstance(value, Mapping):
        return value
    raise _expected("object", value)


def _array(value):
    if isinstance(value, (list, tuple)):
        return value
    raise _expected("array", value)


_SCALARS = {
    str: Shape({"type": "string"}, _load_str, _dump_str),
    int: Shape({"type": "integer"}, _load_int, _dump_int),
    float: Shape({"type": "number"}, _load_float, _dump_float),
    bool: Shape({"type": "boolean"}, _bool, _bool),
    None: Shape({"type": "null"}, _null, _null),
    type(None): Shape({"type": "null"}, _null, _null),
    object: Shape({}, _anything, _anything),
}


def _typing(name):
    """typing.NAME where `typing` is loaded: a hint made of it implies that."""
    typing = sys.modules.get("typing")
    extensions = sys.modules.get("typing_extensions")
    return tuple(getattr(module, name) for module in (typing, extensions) if hasattr(module, name))


class Compiler:
    """Compiles the hints of one schema document; each class is in `definitions` once."""

    def __init__(self, where, output=False):
        self.where = where
        self.output = output
        self.definitions = {}
        self._classes = {}

    def compile(self, hint, namespace, where=None):
        """The Shape of a hint; `where` (tool and parameter) is the prefix of error messages."""
        self.where = where or self.where
        try:
            return self._compile(hint, namespace)
        except RecursionError:
            raise self._unsupported(hint) from None

    def _unsupported(self, hint):
        shown = hint.__qualname__ if isinstance(hint, type) else repr(hint)
        return DefinitionError(f"{self.where}: the annotation {shown} is not supported; use {SUPPORTED}")

    def _compile(self, hint, namespace):
        hint, namespace = self._resolve(hint, namespace)
        try:
            known = _SCALARS.get(hint)
        except TypeError:
            known = None
        if known is not None:
            return Shape(dict(known.schema), known.load, known.dump)
        if hint in _typing("Any"):
            return Shape({}, _anything, _anything)
        origin = getattr(hint, "__origin__", None)
        arguments = getattr(hint, "__args__", None) or ()
        if hasattr(hint, "__metadata__"):
            return self._annotated(hint, namespace)
        if type(hint).__name__ in ("UnionType", "Union") or origin in _typing("Union"):
            return self._union(arguments, namespace)
        if origin is not None and origin in _typing("Literal"):
            return self._choice(arguments, arguments)
        if isinstance(hint, type) and origin is None:
            special = self._class(hint)
            if special is not None:
                return special
        return self._container(hint, origin or hint, arguments, namespace)

    def _resolve(self, hint, namespace):
        """Resolves strings, forward references, NewType and `type` aliases."""
        while True:
            if hasattr(hint, "__forward_arg__"):
                hint = hint.__forward_arg__
            if isinstance(hint, str):
                hint = self._evaluate(hint, namespace)
            elif hasattr(hint, "__supertype__"):
                hint = hint.__supertype__
            elif hasattr(hint, "__value__") and type(hint).__name__ == "TypeAliasType":
                hint = hint.__value__
            else:
                return hint, namespace

    def _evaluate(self, text, namespace):
        try:
            return eval(text, namespace)
        except Exception as error:
            raise DefinitionError(f"{self.where}: the annotation {text!r} cannot be evaluated: {error}") from None

    def _annotated(self, hint, namespace):
        shape = self._compile(hint.__origin__, namespace)
        for note in hint.__metadata__:
            if isinstance(note, str):
                shape.schema = {**shape.schema, "description": note}
        return shape

    def _union(self, arguments, namespace):
        shapes = [self._compile(argument, namespace) for argument in arguments]
        return Shape(
            {"anyOf": [shape.schema for shape in shapes]},
            _first_that_fits([shape.load for shape in shapes]),
            _first_that_fits([shape.dump for shape in shapes]),
        )

    def _choice(self, values, members):
        """Literal values, or an Enum's values and their members."""
        for value in values:
            if type(value) not in (str, int, float, bool, type(None)):
                raise DefinitionError(f"{self.where}: the choice {value!r} has no JSON form")
        chosen = {(type(value), value): member for value, member in zip(values, members)}
        schema = {"enum": list(values)}
        names = {_SCALARS[type(value)].schema["type"] for value in values}
        if len(names) == 1:
            schema = {"type": names.pop(), **schema}
        words = "one of " + ", ".join(encode(value) for value in values)

        def load(value):
            try:
                return chosen[type(value), value]
            except (KeyError, TypeError):
                raise _expected(words, value) from None

        def dump(value):
            value = getattr(value, "value", value) if hasattr(type(value), "__members__") else value
            load(value)
            return value

        return Shape(schema, load, dump)

    def _class(self, cls):
        if hasattr(cls, "__members__"):
            members = list(cls.__members__.values())
            return self._choice([member.value for member in members], members)
        if hasattr(cls, "__dataclass_fields__"):
            return self._defined(cls, self._dataclass)
        if issubclass(cls, dict) and hasattr(cls, "__required_keys__"):
            return self._defined(cls, self._typed_dict)
        return None

    def _defined(self, cls, build):
        """A class as `$ref` into `$defs`; the reference is made first, so classes may recurse."""
        if cls not in self._classes:
            name, count = cls.__name__, 2
            while name in self.definitions:
                name, count = f"{cls.__name__}_{count}", count + 1
            self.definitions[name] = {}
            reference = self._classes[cls] = Shape({"$ref": f"#/$defs/{name}"}, None, None)
            built = build(cls)
            self.definitions[name] = built.schema
            reference.load, reference.dump = built.load, built.dump
        known = self._classes[cls]
        return Shape(
            dict(known.schema),
            known.load or (lambda value: known.load(value)),
            known.dump or (lambda value: known.dump(value)),
        )

    def _dataclass(self, cls):
        missing = sys.modules["dataclasses"].MISSING
        fields, defaults = {}, {}
        for field in cls.__dataclass_fields__.values():
            if field._field_type is not sys.modules["dataclasses"]._FIELD or not (field.init or self.output):
                continue
            fields[field.name] = self._field(cls, field.name, field.type)
            if field.metadata.get("description"):
                described = {**fields[field.name].schema, "description": field.metadata["description"]}
                fields[field.name].schema = described
            if field.default is not missing or field.default_factory is not missing:
                defaults[field.name] = field.default
        required = [name for name in fields if self.output or name not in defaults]
        for name, default in defaults.items():
            if not self.output and default is not missing and name in fields:
                add_default(fields[name], default)
        return _record(_documented(cls, self._closed(fields, required)), fields, required, cls)

    def _typed_dict(self, cls):
        fields, required = {}, []
        for name, hint in cls.__annotations__.items():
            needed = name in cls.__required_keys__
            module = vars(sys.modules[cls.__module__])
            hint, _ = self._resolve(hint, module)
            while getattr(hint, "__origin__", None) in _typing("Required") + _typing("NotRequired") + _typing(
                "ReadOnly"
            ):
                if hint.__origin__ not in _typing("ReadOnly"):
                    needed = hint.__origin__ in _typing("Required")
                hint = hint.__args__[0]
            fields[name] = self._field(cls, name, hint)
            if needed:
                required.append(name)
        return _record(_documented(cls, self._closed(fields, required)), fields, required, None)

    def _field(self, cls, name, hint):
        """A field's shape; its hint is resolved in the module of the declaring class."""
        owner = next((base for base in cls.__mro__ if name in getattr(base, "__annotations__", ())), cls)
        outside = self.where
        self.where = f"{outside}, field {name!r} of {cls.__name__}"
        shape = self._compile(hint, vars(sys.modules[owner.__module__]))
        self.where = outside
        return shape

    def _closed(self, fields, required):
        schema = {"type": "object", "properties": {name: shape.schema for name, shape in fields.items()}}
        if required:
            schema["required"] = required
        if not self.output:
            schema["additionalProperties"] = False
        return schema

    def _container(self, hint, origin, arguments, namespace):
        if origin in _LISTS:
            return self._items({"type": "array"}, list, arguments, namespace)
        if origin in _SETS:
            return self._items({"type": "array", "uniqueItems": True}, set, arguments, namespace)
        if origin in _DICTS:
            return self._mapping(hint, arguments, namespace)
        if origin is tuple:
            return self._tuple(arguments, namespace)
        raise self._unsupported(hint)

    def _items(self, schema, make, arguments, namespace):
        if not arguments:
            return Shape(schema, lambda value: make(_array(value)), lambda value: list(_items_of(value)))
        item = self._compile(arguments[0], namespace)

        def load(value):
            return make(_each(item.load, _array(value)))

        def dump(value):
            return _each(item.dump, _items_of(value))

        return Shape({**schema, "items": item.schema}, load, dump)

    def _tuple(self, arguments, namespace):
        if not arguments or arguments[-1] is Ellipsis:
            return self._items({"type": "array"}, tuple, arguments[:1], namespace)
        shapes = [self._compile(argument, namespace) for argument in arguments]

        def across(value, functions):
            if len(_array(value)) != len(functions):
                raise Invalid(f"expected {len(functions)} items, got {len(value)}")
            return [_at(position, function, item) for position, (function, item) in enumerate(zip(functions, value))]

        loads, dumps = [shape.load for shape in shapes], [shape.dump for shape in shapes]
        schema = {
            "type": "array",
            "prefixItems": [shape.schema for shape in shapes],
            "minItems": len(shapes),
            "maxItems": len(shapes),
        }
        return Shape(schema, lambda value: tuple(across(value, loads)), lambda value: across(value, dumps))

    def _mapping(self, hint, arguments, namespace):
        if not arguments:
            return Shape({"type": "object"}, _object, _object)
        if self._resolve(arguments[0], namespace)[0] is not str:
            raise DefinitionError(f"{self.where}: the keys of {hint!r} must be str, as in JSON")
        item = self._compile(arguments[1], namespace)

        def across(value, function):
            return {_key(key): _at(key, function, part) for key, part in _object(value).items()}

        return Shape(
            {"type": "object", "additionalProperties": item.schema},
            lambda value: across(value, item.load),
            lambda value: across(value, item.dump),
        )


def _first_that_fits(functions):
    def across(value):
        problems = []
        for function in functions:
            try:
                return function(value)
            except Invalid as invalid:
                problems.append(invalid)
        deepest = max(problems, key=lambda problem: len(problem.path))
        if deepest.path:
            raise deepest
        wanted = dict.fromkeys(problem.problem.removeprefix("expected ").partition(", got")[0] for problem in problems)
        raise _expected(" or ".join(wanted), value)

    return across


def _at(step, function, value):
    try:
        return function(value)
    except Invalid as invalid:
        raise invalid.within(step) from None


def _each(function, values):
    return [_at(position, function, value) for position, value in enumerate(values)]


def _key(key):
    if isinstance(key, str):
        return key
    raise Invalid(f"the key {key!r} is not a string")


def _items_of(value):
    if isinstance(value, (set, frozenset)):
        # A set has no order; equal results must have equal bytes.
        return sorted(value, key=encode)
    return _array(value)


def _documented(cls, schema):
    text = (cls.__dict__.get("__doc__") or "").strip()
    if not text or text.startswith(f"{cls.__name__}("):
        return schema
    return {"type": "object", "description": clean(text), **schema}


def _record(schema, fields, required, cls):
    """A dataclass (`cls`) or a TypedDict (none): an object with these fields and no others."""

    def load(value):
        values = {}
        for name, part in _object(value).items():
            if name not in fields:
                raise Invalid(f"unknown; the fields are {', '.join(fields)}").within(name)
            values[name] = _at(name, fields[name].load, part)
        _nothing_missing(required, values)
        if cls is None:
            return values
        try:
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise Invalid(str(error)) from None

    def dump(value):
        if cls is not None and isinstance(value, cls):
            return {name: _at(name, shape.dump, getattr(value, name)) for name, shape in fields.items()}
        if cls is not None:
            raise Invalid(f"expected a {cls.__name__}, got {kind(value)}")
        _nothing_missing(required, _object(value))
        return {
            _key(name): _at(name, fields[name].dump, part) if name in fields else part for name, part in value.items()
        }

    return Shape(schema, load, dump)


def _nothing_missing(required, values):
    for name in required:
        if name not in values:
            raise Invalid("required, but missing").within(name)


def add_default(shape, value):
    """Writes a default into a schema, if it has a JSON form."""
    try:
        text = encode(_items_of(value) if isinstance(value, (set, frozenset)) else value)
    except Unserializable:
        return
    shape.schema = {**shape.schema, "default": decode(text)}


def clean(text):
    """A docstring without its indentation."""
    first, *rest = text.expandtabs().split("\n")
    margin = min((len(line) - len(line.lstrip()) for line in rest if line.strip()), default=0)
    return "\n".join([first.strip(), *(line[margin:].rstrip() for line in rest)]).strip()
