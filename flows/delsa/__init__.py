"""DELSA / DISSE (EUSIPCO 2026) after ELSA (NeurIPS 2024): a model of sound and text that tells what sounds from where it sounds."""
