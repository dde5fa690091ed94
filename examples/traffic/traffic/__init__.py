"""Requests to the servers of this repository, and rewards for their answers."""
