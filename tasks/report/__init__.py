"""Makes the page and the score table of a finished study."""
