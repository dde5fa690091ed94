"""A variant of the prompt as a request to an OpenAI-compatible endpoint, and the answer to it."""

import json
from typing import Any, NamedTuple

SCRIPTED = "scripted:"
TOKENS_OF_A_PRICE = 1_000_000


class Reply(NamedTuple):
    """The text of an answer, and what it cost in US dollars."""

    text: str
    usd: float


def messages(variant: dict[str, Any], question: str) -> list[dict[str, str]]:
    """The variant's instructions, its examples as earlier turns, and the question."""
    talk = [{"role": "system", "content": variant["prompt"]}]
    for example in variant["shots"]:
        talk.append({"role": "user", "content": example["question"]})
        talk.append({"role": "assistant", "content": example["label"]})
    return [*talk, {"role": "user", "content": question}]


def body(variant: dict[str, Any], talk: list[dict[str, str]]) -> dict[str, Any]:
    """The body of a chat completion."""
    return {
        "model": variant["model"],
        "temperature": variant["temperature"],
        "max_tokens": 400,
        "messages": talk,
    }


def http_request(state: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    """The same as an HTTP request; the key comes from the environment."""
    endpoint = state["endpoint"]
    headers: dict[str, Any] = {"content-type": "application/json"}
    if endpoint["key"]:
        headers["authorization"] = {"env": endpoint["key"], "prefix": "Bearer "}
    return {
        "method": "POST",
        "url": f"{endpoint['url'].rstrip('/')}/chat/completions",
        "headers": headers,
        "body": json.dumps(content),
    }


def reply(state: dict[str, Any], completion: dict[str, Any]) -> Reply:
    """The text of a chat completion, and its price by `prices` of the state."""
    choices = completion.get("choices")
    if not choices:
        raise RuntimeError(f"the model gave no answer: {json.dumps(completion)[:200]}")
    usage = completion.get("usage") or {}
    price = state["prices"].get(completion.get("model", ""), {"input": 0.0, "output": 0.0})
    usd = (
        usage.get("prompt_tokens", 0) * price["input"]
        + usage.get("completion_tokens", 0) * price["output"]
    ) / TOKENS_OF_A_PRICE
    return Reply(choices[0]["message"]["content"], usd)


def label(state: dict[str, Any], text: str) -> str:
    """The label that an answer begins with or names first; `unknown` where it names none."""
    low = text.lower()
    found = [(low.find(name), name) for name in state["labels"] if name in low]
    return min(found)[1] if found else "unknown"
