"""Graph networks that refine embeddings over their neighbour graph, without labels -> refined/, graph/."""
