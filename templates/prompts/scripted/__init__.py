"""A stand-in for a model: it follows a script, needs no key, and costs nothing."""
