"""Neural Proxies for Sound Synthesizers (JAES 2025): presets rendered, heard, and foretold by encoders of presets."""
