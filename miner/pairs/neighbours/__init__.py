"""The graph of the k nearest neighbours of every image."""
