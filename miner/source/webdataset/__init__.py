"""WebDataset shards: tar files whose members of one sample share a name."""
