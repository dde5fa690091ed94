"""Which rule decided a turn, as a fact for the Tuner."""

from agent_runtime import note, state


def fired(rule):
    """Notes the rule by its `id`, or by its place in the list where it has none."""
    note(rule=rule["id"] if "id" in rule else state()["rules"].index(rule))
