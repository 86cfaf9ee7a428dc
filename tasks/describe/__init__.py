"""Audio captioning: a command of the user's, or a transformers model, listens to the gold clips and says what it hears."""
