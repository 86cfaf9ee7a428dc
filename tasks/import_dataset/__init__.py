"""Reads published datasets in the layout they are published in, and says the same as one table that ``prepare`` takes."""
