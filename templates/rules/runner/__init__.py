"""The Runner: classifies by readable rules."""
