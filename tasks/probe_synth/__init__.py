"""Stage: load a synthesiser, draft its spec, and tell whether it plays the same preset the same way."""
