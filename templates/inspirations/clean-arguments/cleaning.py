"""The plain form of texts in arguments."""

import re
import unicodedata
from functools import wraps

PLAIN = {0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"'}
INVISIBLE = dict.fromkeys([0x00AD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF])
SPACES = re.compile(r"[^\S\n]+")


def cleaned(function):
    """Calls the tool with the plain form of all texts."""

    @wraps(function)
    def wrapper(**arguments):
        return function(**{name: plain(value) for name, value in arguments.items()})

    return wrapper


def plain(value):
    """The value with its texts in form NFKC, without invisible characters and spare spaces."""
    if isinstance(value, str):
        text = unicodedata.normalize("NFKC", value).translate(PLAIN | INVISIBLE)
        return SPACES.sub(" ", text).strip()
    if isinstance(value, list):
        return [plain(part) for part in value]
    return value
