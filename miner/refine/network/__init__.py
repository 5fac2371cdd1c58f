"""The graph network: convolutions, training without labels, features of all nodes."""
