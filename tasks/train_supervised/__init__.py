"""Trains the encoder's network on the labels themselves, from scratch: what frozen encoders are measured against."""
