"""Thompson sampling (Thompson, 1933) for rewards from 0 to 1."""

import random

COUNTS = ("n", "seen", "count", "pulls")


def thompson(arms):
    """The name of an arm, drawn by the chance that its reward is the highest."""
    return max(arms, key=lambda name: sample(arms[name]))


def sample(arm):
    """A draw from the Beta posterior of the arm's mean reward, under a uniform prior."""
    count = next((arm[key] for key in COUNTS if key in arm), 0)
    mean = min(1.0, max(0.0, arm["mean"]))
    return random.betavariate(1 + count * mean, 1 + count * (1 - mean))
