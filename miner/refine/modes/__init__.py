"""Labelled test images, and the three ways to bring them into the graph."""
