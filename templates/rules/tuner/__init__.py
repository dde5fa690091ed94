"""The Tuner: learns rules. Its tools are pure: no clock, no randomness, no files."""
