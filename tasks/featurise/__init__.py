"""Turns a grid of clips into log-mel pictures, once, and deals its cells to train, validation and test."""
