"""Trains a variational autoencoder on the features of a grid of sounds, by one of six methods, and encodes the whole grid."""
