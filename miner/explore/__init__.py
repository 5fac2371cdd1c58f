"""`miner explore`: rules and bands tried on a live page, with the pairs that each chooses and leaves out -> `explored.yaml`."""
