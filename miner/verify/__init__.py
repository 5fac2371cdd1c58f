"""Whether what miner wrote is whole, here or behind a URL."""
