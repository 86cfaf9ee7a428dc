"""Makes the page and the tables of a finished disentanglement study."""
