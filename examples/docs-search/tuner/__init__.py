"""The Tuner: turns feedback into new state. Its functions are pure: no clock, no randomness, no files."""
