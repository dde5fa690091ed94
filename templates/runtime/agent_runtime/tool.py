"""A typed function as an MCP tool."""

from .schema import Compiler, DefinitionError, Invalid, add_default, clean
from .wire import encode

_VARIADIC, _COROUTINE, _ASYNC_GENERATOR, _GENERATOR = 0x04 | 0x08, 0x80, 0x200, 0x20
_NAME_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")
_MISSING = object()


class Tool:
    """A tool's name and schemas, and the conversion of its arguments and result."""

    __slots__ = (
        "annotations",
        "definition",
        "description",
        "dump",
        "function",
        "is_async",
        "meta",
        "name",
        "parameters",
        "required",
        "returns_object",
        "title",
    )

    def __init__(
        self, function, name=None, title=None, description=None, annotations=None, meta=None
    ):
        self.function = function
        self.name = name or getattr(function, "__name__", "")
        if not self.name or len(self.name) > 128 or not _NAME_CHARACTERS.issuperset(self.name):
            raise DefinitionError(
                f"the tool name {self.name!r} ({place(function)}) must be 1 to 128 of the characters "
                "A-Z a-z 0-9 _ . -"
            )
        self.title = title
        self.description = description
        self.annotations = annotations
        self.meta = meta
        self.definition = None

    def compile(self):
        """Reads the type hints: at start, so that they may name classes defined after the tool."""
        signature = self._signature()
        text, lines = split_docstring(getattr(self.function, "__doc__", None) or "")
        if self.description is None:
            self.description = text
        inputs = self._inputs(signature, lines)
        outputs = self._outputs(signature)
        self.definition = {"name": self.name}
        for key, value in (("title", self.title), ("description", self.description)):
            if value:
                self.definition[key] = value
        self.definition["inputSchema"] = inputs
        if outputs is not None:
            self.definition["outputSchema"] = outputs
        if self.annotations:
            self.definition["annotations"] = dict(self.annotations)
        if self.meta:
            self.definition["_meta"] = dict(self.meta)

    def _signature(self):
        function = self.function
        while hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        bound = hasattr(function, "__self__")
        function = getattr(function, "__func__", function)
        code = getattr(function, "__code__", None)
        if code is None:
            raise DefinitionError(
                f"tool {self.name!r}: {function!r} is not a function; decorate a `def`"
            )
        if code.co_flags & (_GENERATOR | _ASYNC_GENERATOR):
            raise DefinitionError(
                f"tool {self.name!r} ({place(function)}) is a generator; return a list instead"
            )
        self.is_async = bool(getattr(self.function, "__code__", code).co_flags & _COROUTINE)
        return _Signature(function, code, bound)

    def _inputs(self, signature, descriptions):
        where = f"tool {self.name!r}"
        signature.check(where)
        compiler = Compiler(where)
        self.parameters, self.required, properties = {}, [], {}
        for name in signature.names:
            hint = signature.hints.get(name, _MISSING)
            if hint is _MISSING:
                raise DefinitionError(
                    f"{where}, parameter {name!r} has no type annotation ({place(self.function)})"
                )
            shape = compiler.compile(hint, signature.namespace, f"{where}, parameter {name!r}")
            if name in descriptions and "description" not in shape.schema:
                shape.schema = {**shape.schema, "description": descriptions[name]}
            default = signature.defaults.get(name, _MISSING)
            if default is _MISSING:
                self.required.append(name)
            else:
                add_default(shape, default)
            self.parameters[name] = shape.load
            properties[name] = shape.schema
        schema = {"type": "object", "properties": properties}
        if self.required:
            schema["required"] = list(self.required)
        schema["additionalProperties"] = False
        return _with_definitions(schema, compiler)

    def _outputs(self, signature):
        self.returns_object = None
        self.dump = None
        if "return" not in signature.hints:
            return None
        compiler = Compiler(f"tool {self.name!r}", output=True)
        hint, where = signature.hints["return"], f"tool {self.name!r}, return value"
        shape = compiler.compile(hint, signature.namespace, where)
        self.dump = shape.dump
        reference = shape.schema.get("$ref", "").removeprefix("#/$defs/")
        schema = shape.schema
        if reference and not _mentions(compiler.definitions, reference):
            # MCP requires an object at the root of an output schema: a definition without other
            # references is inlined there.
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            schema = {**compiler.definitions.pop(reference), **rest}
        self.returns_object = schema.get("type") == "object"
        if reference and not self.returns_object:
            self.returns_object = True
            schema = {"type": "object", **schema}
        if not self.returns_object:
            schema = {"type": "object", "properties": {"result": schema}, "required": ["result"]}
        return _with_definitions(schema, compiler)

    def bind(self, arguments):
        """Converts JSON arguments to keyword arguments; raises Invalid with an error's path."""
        parameters = self.parameters
        values = {}
        for name, value in arguments.items():
            load = parameters.get(name)
            if load is None:
                raise Invalid(f"unknown; {self._known()}").within(name)
            try:
                values[name] = load(value)
            except Invalid as invalid:
                raise invalid.within(name) from None
        for name in self.required:
            if name not in values:
                raise Invalid("required, but missing").within(name)
        return values

    def _known(self):
        names = ", ".join(self.parameters)
        return f"the parameters are {names}" if names else "there are no parameters"


class _Signature:
    """A replacement of `inspect.signature`, whose module takes 10 ms to import."""

    def __init__(self, function, code, bound):
        count = code.co_argcount + code.co_kwonlyargcount
        names = code.co_varnames[:count]
        positional = names[: code.co_argcount]
        given = function.__defaults__ or ()
        self.defaults = dict(zip(positional[len(positional) - len(given) :], given))
        self.defaults.update(function.__kwdefaults__ or {})
        self.names = names[1:] if bound else names
        self.hints = self._hints(function)
        self.namespace = function.__globals__
        self._code = code
        self._place = place(function)

    @staticmethod
    def _hints(function):
        try:
            return function.__annotations__
        except NameError as error:  # from Python 3.14 on, annotations are evaluated here
            raise DefinitionError(f"{function.__qualname__} ({place(function)}): {error}") from None

    def check(self, where):
        if self._code.co_flags & _VARIADIC:
            raise DefinitionError(
                f"{where} ({self._place}): *args and **kwargs have no schema; name the parameters"
            )
        if self._code.co_posonlyargcount:
            raise DefinitionError(
                f"{where} ({self._place}): positional-only parameters cannot be called by name"
            )


def place(function):
    """The file and line of a function, for a message."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    code = getattr(function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function)


def _mentions(definitions, name):
    return f'"#/$defs/{name}"' in encode(definitions)


def _with_definitions(schema, compiler):
    if compiler.definitions:
        schema["$defs"] = compiler.definitions
    return schema


def split_docstring(text):
    """A docstring's prose, and the descriptions of parameters in its `Args:` section."""
    prose, descriptions, name, inside = [], {}, None, False
    for line in clean(text).split("\n"):
        if line.strip() in ("Args:", "Arguments:", "Parameters:") and not line.startswith(" "):
            inside, margin = True, None
        elif not inside:
            prose.append(line)
        elif line.strip() and not line.startswith(" "):
            inside = False
            prose.append(line)
        elif line.strip():
            depth = len(line) - len(line.lstrip())
            margin = depth if margin is None else margin
            head, colon, rest = line.partition(":")
            if depth <= margin and colon:
                name = head.partition("(")[0].strip().lstrip("*")
                descriptions[name] = rest.strip()
            elif name:
                descriptions[name] = f"{descriptions[name]} {line.strip()}".strip()
    return "\n".join(prose).strip(), descriptions
