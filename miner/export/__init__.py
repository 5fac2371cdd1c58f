"""Images and pairs as deterministic WebDataset shards -> shards/."""
