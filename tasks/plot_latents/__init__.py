"""Shows and sounds what a trained autoencoder does: reconstructions, samples, traversals, its codes by factor."""
