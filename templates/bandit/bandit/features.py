"""The context of a choice as a vector of whole thousandths.

Features and rewards are rounded to thousandths, so that every product of two of them is a whole
number of millionths. The sums of such products are exact: they can be added in any order, and a
term can be subtracted again without a trace.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

UNIT = 1000  # one, in thousandths
LARGEST = 1000  # a feature after scaling, and a reward, is at most this far from 0

Context = Mapping[str, float | str]


def thousandths(value: float, name: str) -> int:
    """The value in whole thousandths; ValueError when it is no number or too large."""
    if not -LARGEST <= value <= LARGEST:
        raise ValueError(f"{name} is {value}: it must be a number from -{LARGEST} to {LARGEST}")
    return round(value * UNIT)


def vector(features: Sequence[Mapping[str, Any]], context: Context | None) -> list[int]:
    """The intercept and the context's features, in thousandths.

    A numeric feature gives (value - center) / scale, a categorical one 1 at its value's place and
    0 at the others. ValueError when the context does not fit the features.
    """
    context = context or {}
    _check_names([feature["name"] for feature in features], context)
    x = [UNIT]
    for feature in features:
        name, value = feature["name"], context[feature["name"]]
        if "values" in feature:
            x += [UNIT if value == known else 0 for known in feature["values"]]
        else:
            _check_number(name, value)
            scaled = (value - feature.get("center", 0)) / feature.get("scale", 1)
            x.append(thousandths(scaled, f"the feature {name}, after scaling,"))
    return x


def _check_number(name: str, value: float | str) -> None:
    if isinstance(value, str):
        raise ValueError(f"the feature {name} is {value!r}: it must be a number")


def _check_names(names: Sequence[str], context: Context) -> None:
    for name in context:
        if name not in names:
            close = get_close_matches(name, names, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            known = ", ".join(names) or "none: the state lists no features"
            raise ValueError(f"context has {name!r}, which is not a feature ({known}){hint}")
    missing = [name for name in names if name not in context]
    if missing:
        raise ValueError(f"context lacks {', '.join(missing)}")
