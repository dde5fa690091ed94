"""The last good answers, for when their source cannot be reached."""

import json
from collections import OrderedDict
from functools import wraps

from agent_runtime import log, note

MOST_KEPT = 256


def kept(function):
    """Gives the last answer to the same arguments where the source fails with an OSError."""
    answers = OrderedDict()

    @wraps(function)
    def wrapper(**arguments):
        key = json.dumps(arguments, sort_keys=True, default=repr)
        try:
            answers[key] = function(**arguments)
        except OSError as error:
            if key not in answers:
                raise
            log.warning("the source failed: the last good answer is given", error=str(error))
            note(stale=True)
        answers.move_to_end(key)
        if len(answers) > MOST_KEPT:
            answers.popitem(last=False)
        return answers[key]

    return wrapper
