"""Errors of tools, in words that say how to mend the call."""

from functools import wraps

UNEXPLAINED = (LookupError, TypeError, AttributeError, ArithmeticError)


def explained(function):
    """Names the tool, the arguments and what they mean where the code gave a bare error."""

    @wraps(function)
    def wrapper(**arguments):
        try:
            return function(**arguments)
        except UNEXPLAINED as error:
            raise ValueError(explanation(function, arguments, error)) from error

    return wrapper


def explanation(function, arguments, error):
    """What happened, to what, and what each parameter means."""
    given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    what = f"nothing is found for {error}" if isinstance(error, LookupError) else str(error)
    return "; ".join([f"{function.__name__}({given}): {what}", *meanings(function.__doc__ or "")])


def meanings(text):
    """The lines of the docstring's section `Args:`."""
    _, _, section = text.partition("Args:")
    return [line.strip() for line in section.splitlines() if line.strip()]
