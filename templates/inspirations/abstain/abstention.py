"""Answers that are withheld because they are unsure."""

from functools import wraps

from agent_runtime import state


def confident(function):
    """Fails where the result is an object with a `confidence` below the state's floor."""

    @wraps(function)
    def wrapper(**arguments):
        answer = function(**arguments)
        if isinstance(answer, dict) and "confidence" in answer:
            check(answer["confidence"], state()["abstain_below"])
        return answer

    return wrapper


def check(confidence, floor):
    """ValueError where the confidence is below the floor."""
    if confidence < floor:
        raise ValueError(
            f"not sure enough to answer: confidence {confidence:.2f} is below {floor:.2f}; "
            "give more detail or ask a person"
        )
