"""Scorers of the cases. Each takes a case and its call's result, and returns a score (0 to 1)."""


def nearness(case: dict, result: dict) -> float:
    """How near the choice comes to the best arm: 1 is the best arm for certain, 0 the worst.

    The score is of the propensities, not of the arm that was drawn, so it has no noise.
    """
    rewards = case["expect"]["scorer"]["rewards"]
    propensities = result["structuredContent"]["propensities"]
    expected = sum(share * rewards[arm] for arm, share in propensities.items())
    best, worst = max(rewards.values()), min(rewards.values())
    return (expected - worst) / (best - worst) if best > worst else 1.0
