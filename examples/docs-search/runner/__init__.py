"""The Runner: answers questions over Python's own documentation topics."""
