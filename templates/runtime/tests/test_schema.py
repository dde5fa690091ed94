"""Type hints to schemas, and the conversion of values."""

import unittest
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import (
    Annotated,
    Any,
    List,
    Literal,
    NewType,
    NotRequired,
    Optional,
    Required,
    TypedDict,
    Union,
)

from agent_runtime.schema import Compiler, DefinitionError, Invalid, add_default
from agent_runtime.tool import Tool, split_docstring
from agent_runtime.wire import encode


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


@dataclass
class Point:
    """Where it is."""

    x: int
    y: float = 0.5
    labels: list[str] = field(default_factory=list)


@dataclass
class Tree:
    value: int
    children: "list[Tree]" = field(default_factory=list)


@dataclass
class Positive:
    number: int = field(metadata={"description": "Above zero."})

    def __post_init__(self):
        if self.number <= 0:
            raise ValueError("must be above zero")


class Options(TypedDict, total=False):
    size: Required[int]
    name: str
    colour: NotRequired[Colour]


UserId = NewType("UserId", int)

_POINT = {
    "type": "object",
    "description": "Where it is.",
    "properties": {
        "x": {"type": "integer"},
        "y": {"type": "number", "default": 0.5},
        "labels": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["x"],
    "additionalProperties": False,
}


def compiled(hint, output=False):
    compiler = Compiler("here", output)
    shape = compiler.compile(hint, globals())
    return shape, {**shape.schema, **({"$defs": compiler.definitions} if compiler.definitions else {})}


class Schemas(unittest.TestCase):
    maxDiff = None

    def test_hints(self):
        null = {"type": "null"}
        for hint, schema in [
            (str, {"type": "string"}),
            (int, {"type": "integer"}),
            (float, {"type": "number"}),
            (bool, {"type": "boolean"}),
            (None, null),
            (Any, {}),
            (object, {}),
            ("int", {"type": "integer"}),
            (dict, {"type": "object"}),
            (list, {"type": "array"}),
            (tuple, {"type": "array"}),
            (list[int], {"type": "array", "items": {"type": "integer"}}),
            (List["int"], {"type": "array", "items": {"type": "integer"}}),
            (Sequence[str], {"type": "array", "items": {"type": "string"}}),
            (Iterable[str], {"type": "array", "items": {"type": "string"}}),
            (set[str], {"type": "array", "uniqueItems": True, "items": {"type": "string"}}),
            (
                dict[str, list[int]],
                {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "integer"}}},
            ),
            (Mapping[str, Any], {"type": "object", "additionalProperties": {}}),
            (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
            (
                tuple[int, str],
                {
                    "type": "array",
                    "prefixItems": [{"type": "integer"}, {"type": "string"}],
                    "minItems": 2,
                    "maxItems": 2,
                },
            ),
            (Optional[int], {"anyOf": [{"type": "integer"}, null]}),
            (int | None, {"anyOf": [{"type": "integer"}, null]}),
            (Union[int, str], {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
            (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
            (Literal["a", 1], {"enum": ["a", 1]}),
            (Colour, {"type": "string", "enum": ["red", "blue"]}),
            (Level, {"type": "integer", "enum": [1, 2]}),
            (UserId, {"type": "integer"}),
            (Annotated[int, "how many", 7], {"type": "integer", "description": "how many"}),
            (Point, {"$ref": "#/$defs/Point", "$defs": {"Point": _POINT}}),
            (
                Options,
                {
                    "$ref": "#/$defs/Options",
                    "$defs": {
                        "Options": {
                            "type": "object",
                            "properties": {
                                "size": {"type": "integer"},
                                "name": {"type": "string"},
                                "colour": {"type": "string", "enum": ["red", "blue"]},
                            },
                            "required": ["size"],
                            "additionalProperties": False,
                        }
                    },
                },
            ),
        ]:
            with self.subTest(hint=hint):
                self.assertEqual(compiled(hint)[1], schema)

    def test_output_schemas_promise_every_field_and_stay_open(self):
        self.assertEqual(
            compiled(Point, output=True)[1]["$defs"]["Point"],
            {
                "type": "object",
                "description": "Where it is.",
                "properties": {
                    "x": {"type": "integer"},
                    "y": {"type": "number"},
                    "labels": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["x", "y", "labels"],
            },
        )

    def test_a_class_may_contain_itself(self):
        shape, schema = compiled(Tree)
        self.assertEqual(
            schema["$defs"]["Tree"]["properties"]["children"], {"type": "array", "items": {"$ref": "#/$defs/Tree"}}
        )
        self.assertEqual(shape.load({"value": 1, "children": [{"value": 2}]}), Tree(1, [Tree(2)]))
        self.assertEqual(shape.dump(Tree(1, [Tree(2)])), {"value": 1, "children": [{"value": 2, "children": []}]})

    def test_values_come_in(self):
        for hint, value, loaded in [
            (int, 3.0, 3),
            (float, 3, 3.0),
            (float | int, 3, 3.0),
            (int | float, 3, 3),
            (int | str, "3", "3"),
            (tuple[int, str], [1, "a"], (1, "a")),
            (set[int], [1, 1], {1}),
            (Colour, "red", Colour.RED),
            (Level, 2, Level.HIGH),
            (Point, {"x": 1}, Point(1)),
            (list[Point], [{"x": 1, "y": 2, "labels": ["a"]}], [Point(1, 2.0, ["a"])]),
            (dict[str, Colour], {"a": "blue"}, {"a": Colour.BLUE}),
            (Options, {"size": 1, "colour": "red"}, {"size": 1, "colour": Colour.RED}),
            (Positive, {"number": 1}, Positive(1)),
            (Point | None, None, None),
        ]:
            with self.subTest(hint=hint, value=value):
                result = compiled(hint)[0].load(value)
                self.assertEqual((result, type(result)), (loaded, type(loaded)))

    def test_what_does_not_fit_is_named_with_its_path(self):
        for hint, value, message in [
            (int, True, "arguments: expected integer, got true"),
            (int, 1.5, "arguments: expected integer, got number 1.5"),
            (float, float("inf"), "arguments: expected number, got number inf"),
            (float, 10**400, "arguments: expected a number that a double can hold"),
            (bool, 1, "arguments: expected boolean, got integer 1"),
            (str, None, "arguments: expected string, got null"),
            (int | None, "x" * 99, "arguments: expected integer or null, got string 'xxxx"),
            (Literal[1], True, "arguments: expected one of 1, got true"),
            (Colour, ["red"], 'arguments: expected one of "red", "blue", got array'),
            (
                list[Point],
                [{"x": 1}, {"x": 1, "labels": ["a", 2]}],
                "arguments[1].labels[1]: expected string, got integer 2",
            ),
            (list[Point] | None, [{"x": "1"}], "arguments[0].x: expected integer, got string '1'"),
            (Point, {"y": 1}, "arguments.x: required, but missing"),
            (Point, {"x": 1, "z": 1}, "arguments.z: unknown; the fields are x, y, labels"),
            (Options, {"name": "n"}, "arguments.size: required, but missing"),
            (Positive, {"number": 0}, "arguments: must be above zero"),
            (tuple[int, str], [1], "arguments: expected 2 items, got 1"),
            (dict[str, int], {"a": []}, "arguments.a: expected integer, got array"),
            (dict, [], "arguments: expected object, got array"),
        ]:
            with self.subTest(hint=hint, value=value), self.assertRaises(Invalid) as caught:
                compiled(hint)[0].load(value)
            self.assertTrue(
                caught.exception.message("arguments").startswith(message), caught.exception.message("arguments")
            )

    def test_values_go_out(self):
        for hint, value, dumped in [
            (Point, Point(1), {"x": 1, "y": 0.5, "labels": []}),
            (list[Colour], [Colour.RED], ["red"]),
            (tuple[int, str], (1, "a"), [1, "a"]),
            (set[str], {"b", "a"}, ["a", "b"]),
            (dict[str, Point | None], {"a": None}, {"a": None}),
            (float, 1, 1),
        ]:
            with self.subTest(hint=hint):
                self.assertEqual(compiled(hint, output=True)[0].dump(value), dumped)
        for hint, value in [
            (int, "1"),
            (Point, {"x": 1}),
            (list[int], [1.5]),
            (float, float("nan")),
            (dict[str, int], {1: 1}),
        ]:
            with self.subTest(hint=hint, value=value), self.assertRaises(Invalid):
                compiled(hint, output=True)[0].dump(value)

    def test_an_unsupported_hint_names_its_place(self):
        for hint in (bytes, complex, Point | bytes, list[bytes], dict[int, str], Literal[b"x"], "Missing", type):
            with self.subTest(hint=hint), self.assertRaises(DefinitionError) as caught:
                Compiler("nowhere").compile(hint, globals(), "tool 'ask', parameter 'when'")
            self.assertIn("tool 'ask', parameter 'when'", str(caught.exception))

    def test_defaults_that_have_a_json_form_are_shown(self):
        for hint, value, shown in [
            (int, 1, 1),
            (Colour, Colour.RED, "red"),
            (Point, Point(1), {"x": 1, "y": 0.5, "labels": []}),
            (set[int], {2, 1}, [1, 2]),
        ]:
            shape = compiled(hint)[0]
            add_default(shape, value)
            self.assertEqual(shape.schema["default"], shown)


class Tools(unittest.TestCase):
    def tool(self, function, **more):
        tool = Tool(function, **more)
        tool.compile()
        return tool

    def test_two_classes_of_one_name_both_stand(self):
        other = dataclass(type("Point", (), {"__annotations__": {"z": int}, "__module__": __name__}))

        def place(one: Point, two: other) -> None:
            pass

        self.assertEqual(list(self.tool(place).definition["inputSchema"]["$defs"]), ["Point", "Point_2"])

    def test_the_schema_is_the_same_bytes_in_every_process(self):
        def everything(a: Point, b: Options, c: Literal["z", "a"], d: set[str] = frozenset("ba")) -> dict[str, Tree]:
            """Does it."""

        self.assertEqual(
            encode(self.tool(everything).definition),
            '{"name":"everything","description":"Does it.","inputSchema":{"type":"object","properties":{"a":{"$ref":"#/$defs/Point"},'
            '"b":{"$ref":"#/$defs/Options"},"c":{"type":"string","enum":["z","a"]},"d":{"type":"array","uniqueItems":true,"items":'
            '{"type":"string"},"default":["a","b"]}},"required":["a","b","c"],"additionalProperties":false,"$defs":{"Point":{"type":"object",'
            '"description":"Where it is.","properties":{"x":{"type":"integer"},"y":{"type":"number","default":0.5},"labels":{"type":"array",'
            '"items":{"type":"string"}}},"required":["x"],"additionalProperties":false},"Options":{"type":"object","properties":{"size":'
            '{"type":"integer"},"name":{"type":"string"},"colour":{"type":"string","enum":["red","blue"]}},"required":["size"],'
            '"additionalProperties":false}}},"outputSchema":{"type":"object","additionalProperties":{"$ref":"#/$defs/Tree"},"$defs":{"Tree":'
            '{"type":"object","properties":{"value":{"type":"integer"},"children":{"type":"array","items":{"$ref":"#/$defs/Tree"}}},'
            '"required":["value","children"]}}}}',
        )

    def test_an_output_schema_is_an_object_at_its_root(self):
        def tree() -> Tree: ...
        def point() -> Point: ...
        def number() -> int: ...
        def maybe() -> dict | None: ...
        def free(): ...

        self.assertEqual(self.tool(tree).definition["outputSchema"]["type"], "object")
        self.assertEqual(self.tool(point).definition["outputSchema"]["required"], ["x", "y", "labels"])
        self.assertEqual(self.tool(number).definition["outputSchema"]["properties"], {"result": {"type": "integer"}})
        self.assertIn("anyOf", self.tool(maybe).definition["outputSchema"]["properties"]["result"])
        self.assertNotIn("outputSchema", self.tool(free).definition)

    def test_what_cannot_be_a_tool_says_why(self):
        def variadic(*words: str): ...
        def positional(a: int, /): ...
        def unhinted(a): ...
        def generator():
            yield 1

        for function, words in [
            (variadic, "*args and **kwargs have no schema"),
            (positional, "positional-only"),
            (unhinted, "tool 'unhinted', parameter 'a' has no type annotation"),
            (generator, "is a generator"),
            (len, "is not a function"),
        ]:
            with self.subTest(function=function), self.assertRaises(DefinitionError) as caught:
                self.tool(function)
            self.assertIn(words, str(caught.exception))
        with self.assertRaises(DefinitionError):
            Tool(unhinted, name="two words")

    def test_docstrings(self):
        prose, parameters = split_docstring(
            """Finds it.

            More about it.

            Args:
                query (str): What to find,
                    in words.
                k: How many: at most ten.

            Returns:
                The topics.
            """
        )
        self.assertEqual(parameters, {"query": "What to find, in words.", "k": "How many: at most ten."})
        self.assertEqual(prose, "Finds it.\n\nMore about it.\n\nReturns:\n    The topics.")


if __name__ == "__main__":
    unittest.main()
