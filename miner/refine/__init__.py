"""Graph networks on embeddings -> refined/: messages between neighbours, learned without labels."""
