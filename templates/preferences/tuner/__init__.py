"""The Tuner: counts judgements. Its tools are pure: no clock, no randomness, no files."""
