"""Choices by chance, with their propensities as facts of the turn."""

import random

from agent_runtime import note


def chosen(arms, weights=None):
    """One of the arms, drawn by weight; notes `arm`, `propensity` and `propensities`."""
    arms = list(arms)
    weights = [1.0] * len(arms) if weights is None else list(weights)
    place = random.choices(range(len(arms)), weights)[0]
    chances = [weight / sum(weights) for weight in weights]
    named = {str(arm): chance for arm, chance in zip(arms, chances, strict=True)}
    note(arm=str(arms[place]), propensity=chances[place], propensities=named)
    return arms[place]
