"""Retries of calls that failed for a passing reason, such as a dropped connection."""

import random
import time
from functools import wraps

ATTEMPTS = 3
FIRST_WAIT_S = 0.1
BUDGET_S = 5.0  # the waits of one call, together
PASSING = (ConnectionError, TimeoutError)


def retried(function):
    """Calls the tool again after a passing failure, with exponential back-off and full jitter."""

    @wraps(function)
    def wrapper(**arguments):
        left = BUDGET_S
        for attempt in range(1, ATTEMPTS):
            try:
                return function(**arguments)
            except PASSING:
                wait = random.uniform(0, FIRST_WAIT_S * 2**attempt)
                if wait > left:
                    raise
                left -= wait
                time.sleep(wait)
        return function(**arguments)

    return wrapper
