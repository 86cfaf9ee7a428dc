"""The stages: the work itself, one folder each, run in the stage environments. Nothing in here imports Prefect."""
