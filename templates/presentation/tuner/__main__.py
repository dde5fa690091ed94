"""The Tuner's tools: picked, reward, preferred, add, retire and settle. They change `overlay` of the
state, which `agent` lays over the Runner's tools; the Runner itself stays as it is."""

from typing import TypedDict

from agent_runtime import Tuner, conversation, state

from tuner import variants, words

tuner = Tuner("presentation-tuner", tracks_parts=True)

CHANGES = {"readOnlyHint": False, "destructiveHint": False, "openWorldHint": False}


class Keywords(TypedDict):
    """The tools whose keywords changed, with their keywords now."""

    keywords: dict[str, list[str]]


class Shares(TypedDict):
    """The share of the conversations of each variant; `plain` is what is served without one."""

    shares: dict[str, float]


@tuner.tool(annotations=CHANGES)
def picked(
    request: str,
    right_tool: str | None = None,
    wrong_tool: str | None = None,
    variant: str | None = None,
) -> Keywords:
    """Learns the words of a request from the tool that was right for it.

    The tool's keywords become the words by which its requests differ from those of all others. Send
    requests for which the pick was right as well: they show what is common to all.

    Args:
        request: what was asked for, in the words of the user
        right_tool: the tool that was right; none where only another server had one
        wrong_tool: the tool that was picked, where it was another one
        variant: the variant that gets the keywords; without it, what is served to all
    """
    if not (right_tool or wrong_tool):
        raise ValueError("neither right_tool nor wrong_tool is given: name one")
    if right_tool == wrong_tool:
        raise ValueError(f"right_tool and wrong_tool are both {right_tool!r}: leave wrong_tool out")
    overlay, learned = _overlay()
    tools = overlay.setdefault("tools", {})
    if variant is not None:
        if variants.expect_known(overlay, variant) == variants.PLAIN:
            raise ValueError(f"leave variant out for {variants.PLAIN!r}")
        tools = overlay["variants"][variant].setdefault("tools", {})
    words.count(learned, right_tool or "", request)
    asked = {words.stem(word) for word in words.words_of(request)}
    shares_a_word = (
        name
        for name, over in tools.items()
        if asked & {words.stem(word) for word in over.get("keywords", [])}
    )
    changed = {}
    for name in sorted({right_tool, wrong_tool, *shares_a_word} - {None}):
        over = tools.get(name, {})
        current = over.get("keywords", [])
        found = words.with_own(learned, name, current, words.keywords(learned, name))
        if found == current:
            continue
        changed[name] = found
        if found:
            tools[name] = {**over, "keywords": found}
        else:
            over.pop("keywords")
    return {"keywords": changed}


@tuner.tool(annotations=CHANGES)
def reward(
    value: float, conversation_id: str | None = None, variant: str | None = None
) -> Shares:
    """Learns from a reward of a conversation, and sets the shares of the variants.

    Args:
        value: the reward, from 0 to 1; three decimals count
        conversation_id: the conversation, which was shown one variant
        variant: the variant, where no conversation is named
    """
    if (conversation().id is None) == (variant is None):
        raise ValueError("name either a conversation or a variant")
    overlay, learned = _overlay()
    name = _shown() if variant is None else variant
    variants.add_reward(learned, variants.expect_known(overlay, name), value)
    return {"shares": variants.share_out(overlay)}


@tuner.tool(annotations=CHANGES)
def preferred(winner: str, loser: str) -> Shares:
    """Learns which of two variants was preferred, and sets the shares of the variants.

    Args:
        winner: the variant that was preferred; `plain` is what is served without one
        loser: the other one
    """
    overlay, learned = _overlay()
    for name in (winner, loser):
        variants.expect_known(overlay, name)
    variants.add_preference(learned, winner, loser)
    return {"shares": variants.share_out(overlay)}


@tuner.tool(annotations=CHANGES)
def add(name: str, tools: dict[str, dict]) -> Shares:
    """Adds a variant, or replaces one and forgets what was observed of it.

    Args:
        name: its name
        tools: what lies over the tools, by their names, such as {"ask": {"description": "..."}}
    """
    if name == variants.PLAIN:
        raise ValueError(f"{name!r} is what is served without a variant: choose another name")
    overlay, learned = _overlay()
    overlay.setdefault("variants", {})[name] = {"tools": tools}
    variants.forget(learned, name)
    return {"shares": variants.share_out(overlay)}


@tuner.tool(annotations=CHANGES)
def retire(name: str) -> Shares:
    """Removes a variant, with what was observed of it.

    Args:
        name: its name
    """
    overlay, learned = _overlay()
    _expect_variant(overlay, name)
    del overlay["variants"][name]
    variants.forget(learned, name)
    return {"shares": variants.share_out(overlay)}


@tuner.tool(annotations=CHANGES)
def settle(name: str) -> Shares:
    """Serves a variant to all conversations, and removes all variants. Cases are run through it from
    then on.

    Args:
        name: its name
    """
    overlay, learned = _overlay()
    _expect_variant(overlay, name)
    chosen = overlay["variants"][name].get("tools", {})
    tools = overlay.setdefault("tools", {})
    for tool, over in chosen.items():
        below = tools.get(tool, {})
        parameters = dict(below.get("parameters", {}))
        for parameter, change in over.get("parameters", {}).items():
            parameters[parameter] = {**parameters.get(parameter, {}), **change}
        tools[tool] = {**below, **over, **({"parameters": parameters} if parameters else {})}
    for one in variants.names(overlay):
        variants.forget(learned, one)
    overlay["variants"] = {}
    return {"shares": variants.share_out(overlay)}


def _overlay() -> tuple[dict, dict]:
    overlay = state().setdefault("overlay", {})
    return overlay, overlay.setdefault("learned", {})


def _expect_variant(overlay: dict, name: str) -> None:
    if variants.expect_known(overlay, name) == variants.PLAIN:
        raise ValueError(f"{name!r} is what is served without a variant")


def _shown() -> str:
    """The variant that the conversation was shown."""
    talk = conversation()
    # a Runner that notes facts of its own has those of the draw below `overlay`
    facts = [turn.get("facts", {}) for turn in talk.turns]
    drawn = [one.get("overlay", one) for one in facts]
    shown = [one["arm"] for one in drawn if "arm" in one]
    if not shown:
        raise ValueError(
            f"conversation {talk.id!r} has no turn in which a variant was drawn: name the variant"
        )
    return shown[-1]


if __name__ == "__main__":
    tuner.run()
