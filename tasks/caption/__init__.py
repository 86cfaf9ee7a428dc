"""Writes captions for the gold clips: the label template, or components of the whole class mixed by a grammar or a language model."""
