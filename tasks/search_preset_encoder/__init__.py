"""Searches sizes and optimiser of a preset encoder by many short trainings: Sobol points first, then multivariate TPE."""
