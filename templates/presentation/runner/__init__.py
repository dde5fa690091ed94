"""The Runner: four small tools whose descriptions say little."""
