"""`miner review`: people judge pairs in a browser; few labels estimate the precision of the whole set."""
