"""The Runner's tools: at, convert, between and size. They stand for a third-party server.

`agent` presents them by the state's `overlay`; the tools themselves read no state.
"""

import datetime
from typing import TypedDict

from agent_runtime import Server

server = Server("desk")

READ_ONLY = {"readOnlyHint": True, "openWorldHint": False}
# hours ahead of UTC in winter
PLACES = {"london": 0, "paris": 1, "tokyo": 9, "sydney": 10, "new york": -5}
METRES = {"m": 1.0, "km": 1000.0, "ft": 0.3048, "mile": 1609.344}
DAYS = {-1: "the day before", 0: "the same day", 1: "the next day"}


class Hour(TypedDict):
    """An hour of the day, and its day as seen from UTC."""

    hour: int
    day: str


class Length(TypedDict):
    """A length in a unit."""

    value: float
    unit: str


class Days(TypedDict):
    """A number of days; negative where the end is first."""

    days: int


class Size(TypedDict):
    """The size of a text."""

    words: int
    characters: int


@server.tool(annotations=READ_ONLY)
def at(place: str, hour: int) -> Hour:
    """Gives a local hour.

    Args:
        place: a city
        hour: an hour of UTC, 0 to 23
    """
    ahead = PLACES.get(place.lower())
    if ahead is None:
        raise ValueError(f"there is no place {place!r}; the places are {', '.join(PLACES)}")
    day, local = divmod(hour + ahead, 24)
    return {"hour": local, "day": DAYS[day]}


@server.tool(annotations=READ_ONLY)
def convert(value: float, unit: str, to: str) -> Length:
    """Converts a value.

    Args:
        value: a number
        unit: its unit: m, km, ft or mile
        to: the unit of the answer
    """
    for name in (unit, to):
        if name not in METRES:
            raise ValueError(f"there is no unit {name!r}; the units are {', '.join(METRES)}")
    return {"value": round(value * METRES[unit] / METRES[to], 6), "unit": to}


@server.tool(annotations=READ_ONLY)
def between(start: str, end: str) -> Days:
    """Subtracts two dates.

    Args:
        start: a date, YYYY-MM-DD
        end: another date
    """
    first, last = (datetime.date.fromisoformat(date) for date in (start, end))
    return {"days": (last - first).days}


@server.tool(annotations=READ_ONLY)
def size(text: str) -> Size:
    """Measures a text.

    Args:
        text: any text
    """
    return {"words": len(text.split()), "characters": len(text)}


if __name__ == "__main__":
    server.run()
