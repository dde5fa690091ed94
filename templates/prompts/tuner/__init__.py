"""The Tuner: learns which prompt to serve, and finds new ones."""
