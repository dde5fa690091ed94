"""The rules that still pay."""

from math import sqrt

from agent_runtime import state

Z = 1.96  # of a two-sided interval of 95 %


def paying(rules):
    """The rules whose precision may still reach the state's `rule_floor`."""
    floor = state()["rule_floor"]
    return [rule for rule in rules if upper(rule.get("right", 0), rule.get("wrong", 0)) >= floor]


def upper(right, wrong):
    """The upper end of the Wilson score interval (Wilson, 1927) of right / (right + wrong)."""
    count = right + wrong
    if count == 0:
        return 1.0
    share, square = right / count, Z * Z
    middle = share + square / (2 * count)
    spread = Z * sqrt(share * (1 - share) / count + square / (4 * count * count))
    return (middle + spread) / (1 + square / count)
