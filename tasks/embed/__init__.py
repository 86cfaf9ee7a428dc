"""Turns the clips of a dataset into vectors with a frozen encoder, an untrained one, or mel statistics."""
