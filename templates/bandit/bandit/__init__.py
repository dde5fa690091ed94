"""A multi-armed bandit whose state is sums: what the Runner chooses with and the Tuner adds to."""
