"""The audio spectrogram transformer as a classifier: clips, features, recipe, losses and training; for train_ast and search_mixture."""
