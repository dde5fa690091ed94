"""The Tuner's tools: reward, preferred, corrected, add, retire, reflect, bootstrap."""

from typing import Any, Literal

from agent_runtime import Tuner, conversation, state

from tuner import candidates, rewards

tuner = Tuner("prompts-tuner")

CHANGES = {"readOnlyHint": False, "destructiveHint": False, "openWorldHint": False}
ASKS = {**CHANGES, "openWorldHint": True}
MOST_EXAMPLES = 200

Tier = Literal["micro", "fast", "full"]


@tuner.tool(annotations=CHANGES)
def reward(value: float, conversation_id: str) -> str:
    """Learns how well a conversation went. Gives the variant that is served now.

    Args:
        value: from 0 (wrong) to 1 (right); a later value of the same conversation replaces this
        conversation_id: the conversation
    """
    rewards.count(state(), conversation_id, rewards.variant_of(conversation().turns), value)
    return rewards.serve_the_best(state())


@tuner.tool(annotations=CHANGES)
def preferred(winner: str, loser: str) -> str:
    """Learns that the answers of one variant are preferred. Gives the variant that is served now.

    Args:
        winner: the name of a variant
        loser: the name of another variant
    """
    rewards.prefer(state(), winner, loser)
    return rewards.serve_the_best(state())


@tuner.tool(annotations=CHANGES)
def corrected(question: str, label: str) -> int:
    """Learns the right label of a message: an example for `reflect` and `bootstrap`.

    Args:
        question: the message
        label: its right label
    """
    if label not in state()["labels"]:
        raise ValueError(f"label is {label!r}: the labels are {', '.join(state()['labels'])}")
    examples = [one for one in state()["examples"] if one["question"] != question]
    state()["examples"] = [*examples, {"question": question, "label": label}][-MOST_EXAMPLES:]
    return len(state()["examples"])


@tuner.tool(annotations=CHANGES)
def add(prompt: str, name: str = "", model: str = "", temperature: float | None = None) -> str:
    """Adds a variant. Gives its name.

    Args:
        prompt: the instructions
        name: a name; without one, a digest
        model: the model; without one, that of the served variant
        temperature: from 0 to 2; without one, that of the served variant
    """
    served = state()["variants"][state()["served"]]
    changes: dict[str, Any] = {"prompt": prompt, "shots": []}
    if model:
        changes["model"] = model
    if temperature is not None:
        changes["temperature"] = temperature
    digest, variant = candidates.made(served, state()["served"], changes)
    if (name or digest) in state()["variants"]:
        raise ValueError(f"there is a variant {name or digest!r} already")
    state()["variants"][name or digest] = variant
    return name or digest


@tuner.tool(annotations=CHANGES)
def retire(name: str) -> None:
    """Takes a variant out of service. Its counts stay.

    Args:
        name: a variant that is not served
    """
    if name not in state()["variants"]:
        raise ValueError(f"there is no variant {name!r}: {', '.join(state()['variants'])}")
    if name == state()["served"]:
        raise ValueError(f"{name!r} is served: no other variant is known to be better")
    state()["variants"][name]["retired"] = True


@tuner.tool(annotations=ASKS)
def reflect(tier: Tier = "fast") -> dict[str, Any]:
    """One step of GEPA: rewrites a prompt from its mistakes, and keeps it where it does better.

    Args:
        tier: the tier that candidates are scored on, without its held-out cases
    """
    from tuner import reflection

    return reflection.step(state(), tier)


@tuner.tool(annotations=ASKS)
def bootstrap(tier: Tier = "fast") -> dict[str, Any]:
    """Tries a set of examples in the served prompt, and keeps it where it does better.

    Args:
        tier: the tier that candidates are scored on, without its held-out cases
    """
    from tuner import bootstrap as shots

    return shots.step(state(), tier)


if __name__ == "__main__":
    tuner.run()
