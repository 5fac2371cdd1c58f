"""The pairs/ folder: reader and writer of the pair table, the band, statistics, and choosing pairs."""
