"""Asks the model: over HTTP, or the scripted one in this process."""

import json
import os
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from model import chat

TIMEOUT_S = 30


def ask(state: dict[str, Any], variant: dict[str, Any], question: str) -> chat.Reply:
    """The model's reply to a question under a variant."""
    content = chat.body(variant, chat.messages(variant, question))
    if state["endpoint"]["url"] == chat.SCRIPTED:
        from scripted.model import complete

        return chat.reply(state, complete(content))
    return chat.reply(state, sent(state, content))


def sent(state: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    request = chat.http_request(state, content)
    headers = {
        name: value if isinstance(value, str) else value["prefix"] + secret(value["env"])
        for name, value in request["headers"].items()
    }
    posted = Request(request["url"], request["body"].encode(), headers, method=request["method"])
    try:
        with urlopen(posted, timeout=TIMEOUT_S) as answer:
            return json.load(answer)
    except HTTPError as error:
        shown = error.read(300).decode(errors="replace")
        raise RuntimeError(f"the model answered {error.code}: {shown}") from None
    except URLError as error:
        raise RuntimeError(f"{request['url']} cannot be reached: {error.reason}") from None


def secret(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        raise RuntimeError(f"the environment variable {variable} is not set")
    return value
