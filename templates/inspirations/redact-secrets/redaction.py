"""Keys and passwords in results, replaced before they leave the Runner."""

import re
from functools import wraps

REDACTED = "[redacted]"
NAMED = re.compile(
    r"(?i)((?:password|passwd|secret|token|api[_-]?key)[\"']?\s*[:=]\s*[\"']?)[^\s\"',;]+"
)
FORMS = re.compile(
    r"\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}"
    r"|\bgh[opsu]_[A-Za-z0-9]{20,}"
    r"|\bAKIA[0-9A-Z]{16}\b"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----"
)


def redacted(function):
    """Redacts all texts of the tool's result."""

    @wraps(function)
    def wrapper(**arguments):
        return cleaned(function(**arguments))

    return wrapper


def cleaned(value):
    """The value with the secrets in its texts replaced."""
    if isinstance(value, str):
        return FORMS.sub(REDACTED, NAMED.sub(rf"\1{REDACTED}", value))
    if isinstance(value, dict):
        return {key: cleaned(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(cleaned, value))
    return value
