"""Answers of tools that only read, kept by arguments and Revision of the state."""

import json
from collections import OrderedDict
from functools import wraps

from agent_runtime import state

MOST_KEPT = 256
PER_CALL = {"conversation", "note", "cost", "scratch"}  # what an answer kept would leave out


def cached(function):
    """Computes each answer once; a tool with effects on its own call stays as it is."""
    if PER_CALL & names(function):
        return function
    answers = OrderedDict()

    @wraps(function)
    def wrapper(**arguments):
        key = json.dumps([state().revision, arguments], sort_keys=True, default=repr)
        if key not in answers:
            answers[key] = function(**arguments)
        answers.move_to_end(key)
        if len(answers) > MOST_KEPT:
            answers.popitem(last=False)
        return answers[key]

    return wrapper


def names(function):
    """The names that a function uses, with those of the functions it wraps."""
    inner = getattr(function, "__wrapped__", None)
    return set(function.__code__.co_names) | (names(inner) if inner else set())
