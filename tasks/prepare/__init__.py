"""Turns a CSV and a folder of sound files into a checked manifest."""
