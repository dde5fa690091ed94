"""The Tuner: searches the parameters by CMA-ES, one evaluation at a time."""
