"""The scripted model: a chat completion whose quality depends on the instructions, in a known way.

It reads the right department from a customer's message, and gives it with a probability that
depends on which clauses the instructions have and on the examples; otherwise it gives another one.
Chance is a hash of the request, so the same request has the same answer, and another prompt errs on
other messages, as real models do. With a temperature the answer depends on `seed` too.

The model `scripted-null` gives every clause the worth 0: no instructions are better than others.

Asked to write new instructions, it returns the current ones with one more clause: a helpful one in
HELPFUL_SHARE of all cases, else one that helps nothing or harms.
"""

from hashlib import sha256
from typing import Any

BASE = 0.55
CLAUSES = {
    "answer with one word": 0.08,
    "choose from: billing, refund, login, bug, shipping, other": 0.10,
    "a request for money back is a refund, even where a bill is named": 0.07,
    "a parcel or an address is shipping": 0.06,
    "a password or an account is login": 0.05,
    "an error message is a bug": 0.04,
    "be friendly": 0.0,
    "think about the customer's mood": 0.0,
    "use formal language": 0.0,
    "be creative": -0.10,
    "explain at length": -0.06,
}
SHOT = 0.015
MOST_SHOTS = 6
HIGHEST = 0.97
HELPFUL_SHARE = 0.5
NULL = "scripted-null"

KEYWORDS = {
    "refund": ("money back", "refund", "reimburse"),
    "shipping": ("parcel", "delivery", "address", "courier"),
    "login": ("password", "sign in", "account is locked"),
    "bug": ("error", "crash", "freezes"),
    "billing": ("invoice", "charged", "bill"),
}
OTHER = "other"
REFLECTION = "write a new instruction"


def chance(*parts: str) -> float:
    """A number in [0, 1) from texts."""
    return int.from_bytes(sha256("\0".join(parts).encode()).digest()[:8], "big") / 2**64


def department(message: str) -> str:
    """The right answer: of the first keyword by the order of the departments."""
    low = message.lower()
    named = (name for name, words in KEYWORDS.items() if any(word in low for word in words))
    return next(named, OTHER)


def quality(instructions: str, shots: int, model: str = "") -> float:
    """The probability of the right answer."""
    if model == NULL:
        return BASE
    low = instructions.lower()
    gain = sum(worth for clause, worth in CLAUSES.items() if clause in low)
    return min(HIGHEST, max(0.0, BASE + gain + SHOT * min(shots, MOST_SHOTS)))


def routed(talk: list[dict[str, str]], variation: str, model: str) -> str:
    instructions = "".join(one["content"] for one in talk if one["role"] == "system")
    message = talk[-1]["content"]
    right = department(message)
    shots = sum(one["role"] == "assistant" for one in talk)
    if chance("right", instructions, message, variation) < quality(instructions, shots, model):
        return right
    wrong = [name for name in (*KEYWORDS, OTHER) if name != right]
    return wrong[int(chance("wrong", instructions, message, variation) * len(wrong))]


def rewritten(prompt: str, variation: str) -> str:
    """New instructions, between fences as the request wants them."""
    current = prompt.split("```")[1].strip()
    low = current.lower()
    missing = {
        kind: [clause for clause, worth in CLAUSES.items() if clause not in low and fits(worth)]
        for kind, fits in (("helpful", lambda worth: worth > 0), ("other", lambda worth: worth <= 0))
    }
    kind = "helpful" if chance("kind", prompt, variation) < HELPFUL_SHARE else "other"
    clauses = missing[kind] or missing["helpful"] or missing["other"]
    if not clauses:
        return f"```\n{current}\n```"
    clause = clauses[int(chance("clause", prompt, variation) * len(clauses))]
    return f"```\n{current} {clause[0].upper()}{clause[1:]}.\n```"


def complete(content: dict[str, Any]) -> dict[str, Any]:
    """A chat completion."""
    talk = content["messages"]
    variation = str(content.get("seed", "")) if content.get("temperature") else ""
    last = talk[-1]["content"]
    if REFLECTION in last:
        answer = rewritten(last, variation)
    else:
        answer = routed(talk, variation, content["model"])
    return {
        "object": "chat.completion",
        "model": content["model"],
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": answer},
            }
        ],
        "usage": {
            "prompt_tokens": sum(len(one["content"]) // 4 for one in talk),
            "completion_tokens": max(1, len(answer) // 4),
        },
    }
