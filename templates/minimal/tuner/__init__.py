"""The Tuner: learns from how long tasks took."""
