"""What Runner and Tuner have in common: the request to the model, and its answer."""
