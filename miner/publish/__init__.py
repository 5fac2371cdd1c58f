"""A data set repository from shards and pairs: files, card, Croissant, checksums, and the Hugging Face Hub."""
