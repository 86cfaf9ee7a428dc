"""Measures synthetic clips against the gold ones, and proves from the lineage that no validation or test clip touched them."""
