"""Scorers of the cases. There is none yet: a case compares the label."""
