"""Conditions on named features, as the state has them.

A condition is `{"feature": NAME, "op": OP, "value": VALUE}`:

    equals    the text or truth value is VALUE
    contains  VALUE is one of the words of the text, or one of the items of the list
    <=  >     the number is at most VALUE, or above it

A feature that is missing, or is of another kind than the condition, does not meet it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Features = Mapping[str, Any]
Condition = Mapping[str, Any]

LONGEST_TEXT = 2_000
LARGEST = 1e15  # of a number: sums and middles of two are exact enough, and finite
PUNCTUATION = ".,;:!?\"'()[]{}"


def words(value: Any) -> list[str]:
    """The distinct words of a text in lower case, or the items of a list, sorted."""
    if isinstance(value, str):
        found = (word.strip(PUNCTUATION) for word in value.lower().split())
        return sorted({word for word in found if word})
    return sorted(set(value))


def is_number(value: Any) -> bool:
    """Whether a value is compared by size. A truth value is not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_text(value: Any) -> bool:
    """Whether a text is taken apart into words: one word alone is a category."""
    return isinstance(value, str) and len(value.split()) > 1


def check(features: Features) -> None:
    """ValueError when a feature is of a kind that no condition fits."""
    if not features:
        raise ValueError("features is empty: give at least one, such as {\"plan\": \"free\"}")
    for name, value in features.items():
        is_list = isinstance(value, list) and all(isinstance(item, str) for item in value)
        if not (isinstance(value, (str, bool)) or is_number(value) or is_list):
            raise ValueError(
                f"feature {name!r} is {value!r}: give a number, a text, true or false, "
                "or a list of texts"
            )
        if is_number(value) and not -LARGEST <= value <= LARGEST:
            raise ValueError(f"feature {name!r} is {value}: give a number of at most {LARGEST:g}")
        if isinstance(value, str) and len(value) > LONGEST_TEXT:
            raise ValueError(f"feature {name!r} is longer than {LONGEST_TEXT} characters")


def holds(condition: Condition, features: Features) -> bool:
    """Whether the features meet a condition."""
    value, bound = features.get(condition["feature"]), condition["value"]
    match condition["op"]:
        case "<=":
            return is_number(value) and is_number(bound) and value <= bound
        case ">":
            return is_number(value) and is_number(bound) and value > bound
        case "contains":
            return isinstance(value, (str, list)) and bound in words(value)
        case _:
            return type(value) is type(bound) and value == bound


def all_hold(conditions: Sequence[Condition], features: Features) -> bool:
    """Whether the features meet every condition."""
    return all(holds(condition, features) for condition in conditions)


def readable(condition: Condition) -> str:
    """A condition as a person reads it."""
    op = "is" if condition["op"] == "equals" else condition["op"]
    value = condition["value"]
    return f"{condition['feature']} {op} {repr(value) if isinstance(value, str) else value}"
