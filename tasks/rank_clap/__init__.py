"""CLAP among the audio models that are ranked."""
