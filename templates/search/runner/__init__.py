"""The Runner: forecasts a series."""
