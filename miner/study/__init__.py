"""Controlled studies: a grid of arms and seeds, ending in one table and one figure."""
