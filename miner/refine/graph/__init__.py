"""Graphs of nearest neighbours: edges, the weights of messages, samples of a graph."""
