"""Several models for one request, in order of preference."""

from agent_runtime import log, note


def fallback(ask, models, *arguments, **named):
    """The answer of the first model that answers.

    A model that fails with an OSError (which connection errors and timeouts are) is passed over;
    where all fail, the error of the last one is raised.
    """
    *first, last = models
    for model in first:
        try:
            answer = ask(model, *arguments, **named)
        except OSError as error:
            log.warning("a model failed: the next one is asked", model=model, error=str(error))
        else:
            note(model=model)
            return answer
    note(model=last)
    return ask(last, *arguments, **named)
