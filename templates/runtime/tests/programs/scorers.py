"""The scorers that the protocol tests and fixtures ask."""

import math


def half(case, result):
    print("scorers may print")
    return 0.5


def exact(case, result):
    return result["content"][0]["text"] == case["expect"]["text"]


def explained(case, result):
    return {"score": 1, "passed": True, "why": case["id"]}


def broken(case, result):
    return case["no such key"]


def not_a_number(case, result):
    return math.nan


def _helper(case, result):
    return 1.0
