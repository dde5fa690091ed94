"""Dates in arguments, brought to ISO 8601."""

from datetime import datetime
from functools import wraps

NAMES = {"date", "since", "until"}
FORMS = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y%m%d",
    "%d.%m.%Y",
    "%d %b %Y",
    "%d %B %Y",
    "%b %d, %Y",
    "%B %d, %Y",
)


def dated(function):
    """Calls the tool with its dates in ISO 8601."""

    @wraps(function)
    def wrapper(**arguments):
        return function(**{name: given(name, value) for name, value in arguments.items()})

    return wrapper


def given(name, value):
    """The argument, in ISO 8601 where its name says that it is a date."""
    is_date = name in NAMES or name.endswith("_date")
    return iso(name, value.strip()) if is_date and isinstance(value, str) else value


def iso(name, text):
    """The date in ISO 8601; ValueError where it is in none of the forms."""
    for form in FORMS:
        try:
            return datetime.strptime(text, form).date().isoformat()
        except ValueError:
            continue
    raise ValueError(f"{name} is {text!r}: give a date such as 2026-12-24 or 24 Dec 2026")
