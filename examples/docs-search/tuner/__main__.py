"""The Tuner's tools: reward and judged."""

from agent_runtime import Tuner, conversation, state

from tuner import judgements, rewards

tuner = Tuner("docs-search-tuner")


@tuner.tool(annotations={"readOnlyHint": False, "destructiveHint": False, "openWorldHint": False})
def reward(value: float, strategy: str | None = None, conversation_id: str | None = None) -> dict[str, float]:
    """Rewards the ranking strategy that gave an answer. Shows the mean reward of each strategy credited.

    Args:
        value: how good the answer was, from 0 to 1
        strategy: the strategy to credit, where no conversation is named
        conversation_id: the conversation to credit: every strategy its turns used, once each
    """
    talk = conversation()
    used = rewards.strategies_used(talk.turns)
    if talk.id is not None and not used:
        raise ValueError(f"conversation {talk.id!r} has no turn that noted a strategy: nothing to credit")
    if not used and strategy is None:
        raise ValueError("name a conversation or a strategy: without one the reward has nothing to credit")
    arms = state()["strategies"]["arms"]
    credited = used or [strategy]
    for name in credited:
        rewards.credit(arms, name, value)
    return {name: arms[name]["mean"] for name in credited}


@tuner.tool(annotations={"readOnlyHint": False, "destructiveHint": False, "openWorldHint": False})
def judged(query: str, relevant: list[str]) -> dict[str, float]:
    """Learns which topics answer a query: one step over the ranking's parameters. Shows the field weights after it.

    Args:
        query: the question as it was asked
        relevant: the topics that answer it
    """
    judgements.check(query, relevant)
    judgements.step(state(), query, relevant)
    return dict(state()["ranking"]["fields"])


if __name__ == "__main__":
    tuner.run()
