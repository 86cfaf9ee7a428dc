"""What flows and stages share. Nothing in here imports Prefect or torch."""
