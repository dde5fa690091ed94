"""Means drawn to the average of all items: an empirical Bayes estimate (Efron and Morris, 1975)."""

COUNTS = ("n", "seen", "count", "votes")
PRIOR_VOTES = 5  # the average of all counts as so many votes for each item


def shrunk(item, items):
    """The mean of an item, with PRIOR_VOTES more votes of the average over all votes."""
    votes = sum(count(one) for one in items.values())
    average = sum(count(one) * one["mean"] for one in items.values()) / max(1, votes)
    own = count(item)
    return (own * item["mean"] + PRIOR_VOTES * average) / (own + PRIOR_VOTES)


def count(item):
    """How many votes an item has."""
    return next((item[key] for key in COUNTS if key in item), 0)
