"""The pairs/ folder: the pair table, and choosing pairs from it."""
