"""CMA-ES as functions over a JSON document: ask for a candidate, tell its value.

Nothing here has a clock, files, threads or random numbers of its own, and every operation on
floating-point numbers is one that IEEE 754 rounds in one way only. So a search that is written to
JSON and read back after each step, on any machine and any Python, follows the same path.
"""
