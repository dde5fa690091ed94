"""The Runner's tool: forecast."""

from math import isfinite
from typing import TypedDict

from agent_runtime import Server, conversation, note, state
from optimiser import search
from optimiser.generator import of_text

from runner.smoothing import Smoothing, forecast_of

server = Server("search")

LONGEST_HISTORY = 10_000
LONGEST_HORIZON = 1_000


class Forecast(TypedDict):
    """The values expected next, and the period of the seasons that they assume."""

    values: list[float]
    period: int


@server.tool(annotations={"readOnlyHint": True, "openWorldHint": False})
def forecast(history: list[float], horizon: int = 12) -> Forecast:
    """Forecasts the next values of a series of numbers taken at equal intervals, such as months.

    Args:
        history: the values so far, oldest first
        horizon: how many values to forecast
    """
    if not 1 <= len(history) <= LONGEST_HISTORY:
        raise ValueError(f"history has {len(history)} values: give 1 to {LONGEST_HISTORY}")
    if not all(map(isfinite, history)):
        raise ValueError("history has a value that is not finite: leave it out or fill it in")
    if not 1 <= horizon <= LONGEST_HORIZON:
        raise ValueError(f"horizon is {horizon}: give a number from 1 to {LONGEST_HORIZON}")
    smoothing = Smoothing(**parameters())
    return {"values": forecast_of(history, horizon, smoothing), "period": smoothing.period}


def parameters() -> dict[str, float]:
    """The parameters of this call: those that are served, or in a share of the conversations those
    of a candidate, which a reward can then name."""
    talk, share = conversation().id, state()["explore"]
    if talk is not None and share > 0 and of_text(f"explore {talk}") < share:
        running = state()["search"]
        if running is not None and running["done"] is None:
            number = search.for_conversation(running, talk)
            note(candidate=search.identifier(running, number))
            return search.candidate(running, number)
    return dict(state()["parameters"])


if __name__ == "__main__":
    server.run()
