"""The Tuner: learns from the rewards of choices."""
