"""Shared by ``train_clap`` and ``clap_filter``: LAION-CLAP's model code, its checkpoints, deterministic windows."""
