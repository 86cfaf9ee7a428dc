"""Makes sounds of a synthesiser, or pairs of similar ones, with the parameters that made them."""
