"""Shared by the stages that embed sounds or texts: LAION-CLAP's model code, its checkpoints, deterministic windows, batches."""
