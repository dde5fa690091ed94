"""The Runner: chooses where a request goes."""
