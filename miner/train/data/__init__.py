"""What a run sees: images and pairs as items, their order, and the batch of each step."""
