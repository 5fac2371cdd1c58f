"""`miner review`: people judge pairs in a browser, and a few answers estimate the precision of all pairs -> `review/`."""
