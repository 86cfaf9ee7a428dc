"""SynTone: clips with known factors, autoencoders that find them, and metrics that say how well."""
