"""Shared room of the spatial stages: first-order Ambisonics, the RIR catalogue, its words and its convolution. Needs no torch."""
