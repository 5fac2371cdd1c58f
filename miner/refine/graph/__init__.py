"""Graphs of nearest neighbours: edges, their weights, samples of a graph, smoothing."""
