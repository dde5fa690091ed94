"""The Tuner: learns how the Runner's tools are presented."""
