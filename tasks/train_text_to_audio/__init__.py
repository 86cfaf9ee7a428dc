"""Trains the embedded text-to-audio model, or takes a pretrained one."""
