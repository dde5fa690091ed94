"""The Tuner's tools: begin, ask, tell, search and reward.

Each is a function of the state and the signal. The search is in the state as plain JSON, with its
random numbers as a seed and a count, so it goes on where it was after any restart, and a replay of
its signals follows the same path.
"""

from typing import Any, TypedDict

from agent_runtime import Tuner, conversation, effect, state
from optimiser import search as searches

tuner = Tuner("search-tuner")

CHANGES = {"readOnlyHint": False, "destructiveHint": False, "openWorldHint": False}


class Candidate(TypedDict):
    """Parameters to be tried, and the id to tell their value by."""

    id: str
    parameters: dict[str, float]


class Progress(TypedDict):
    """How far the search is. `why` says why it has ended, or why a value did not count."""

    done: bool
    evaluations: int
    restart: int
    generation: int
    best: dict[str, Any] | None
    why: str | None


@tuner.tool(annotations=CHANGES)
def begin(seed: int | None = None) -> Progress:
    """Begins a search from the parameters that are served, with the settings of the state. The one
    that was running is dropped.

    Args:
        seed: of the search's random numbers, in place of the settings' seed
    """
    if seed is not None:
        state()["settings"]["seed"] = seed
    state()["search"] = None
    return progress(running())


@tuner.tool(annotations=CHANGES)
def ask() -> Candidate:
    """Gives the next candidate. The first one is what is served; its value is what others beat."""
    name, parameters = searches.ask(running())
    return {"id": name, "parameters": parameters}


@tuner.tool(annotations=CHANGES)
def tell(id: str, value: float) -> Progress:
    """Counts the value of a candidate, in any order. One value more than the candidate takes
    corrects its last one, as long as its generation has not ended.

    Args:
        id: the candidate's id, as `ask` gave it
        value: how good it was; higher is better
    """
    return told(searches.tell(running(), id, value))


@tuner.tool(annotations=CHANGES)
def search(tier: str = "fast", budget: int | None = None) -> Progress:
    """One step of the search: evaluates the next candidate by a tier's score. To be called until
    it is done: at the target, when restarts find nothing better, or at the budget.

    Args:
        tier: the tier whose mean score is the value of a candidate
        budget: the number of evaluations at which the search is done; none where it is left out
    """
    if budget is not None and budget < 1:
        raise ValueError(f"budget is {budget}: give the number of evaluations, 1 or more")
    here = running()
    now = progress(here, budget)
    if now["done"]:
        return now
    name, parameters = searches.ask(here)
    # without the search, so that equal parameters are one state, evaluated once
    tried = {**state(), "parameters": parameters, "explore": 0, "search": None}
    score = effect.evaluate(tried, tier)["score"]
    return told(searches.tell(here, name, score), budget)


@tuner.tool(annotations=CHANGES)
def reward(value: float, conversation_id: str | None = None) -> Progress:
    """Counts a reward for the candidate that served a conversation.

    Args:
        value: how good the conversation was; higher is better
        conversation_id: the conversation
    """
    if conversation_id is None:
        raise ValueError("name the conversation that the reward is for")
    noted = (turn.get("facts", {}).get("candidate") for turn in conversation().turns)
    names = list(dict.fromkeys(name for name in noted if name))
    if not names:
        raise ValueError(
            f"conversation {conversation_id!r} was not served by a candidate: `explore` in the "
            "state is the share of conversations that are"
        )
    here = running()
    reasons = [searches.reward(here, name, value) for name in names]
    return told(next((why for why in reasons if why), None))


def running() -> searches.Search:
    """The search in the state; one begins where there is none."""
    here = state()["search"]
    if here is None:
        given = state()
        here = searches.begin(given["space"], given["parameters"], given["settings"])
        given["search"] = here
    elif here["space"] != state()["space"]:
        raise ValueError("the space has changed since the search began: `begin` starts another")
    return here


def told(why: str | None, budget: int | None = None) -> Progress:
    """Serves the best parameters so far, after a value; `why` is why it did not count, if so."""
    here = state()["search"]
    state()["parameters"] = searches.recommended(here)
    found = progress(here, budget)
    return {**found, "why": found["why"] or why}


def progress(here: searches.Search, budget: int | None = None) -> Progress:
    why = here["done"]
    if why is None and budget is not None and here["evaluations"] >= budget:
        why = f"the budget of {budget} evaluations is spent"
    return {
        "done": why is not None,
        "evaluations": here["evaluations"],
        "restart": here["restart"],
        "generation": here["generation"],
        "best": here["best"],
        "why": why,
    }


if __name__ == "__main__":
    tuner.run()
