"""JSON as models write it."""

import json
import re

START = re.compile(r"[{\[]")
LAST_COMMA = re.compile(r",(\s*[}\]])")


def repaired(text):
    """The value of a text: of all of it, or of its first object or array.

    A comma before a closing bracket is dropped where the text cannot be read otherwise. Raises
    json.JSONDecodeError where nothing can be read.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        found = first(text)
        found = first(LAST_COMMA.sub(r"\1", text)) if found is None else found
        if found is None:
            raise
        return found


def first(text):
    """The first object or array of a text, or None."""
    for start in START.finditer(text):
        try:
            return json.JSONDecoder().raw_decode(text, start.start())[0]
        except json.JSONDecodeError:
            continue
    return None
