"""`miner eval graph` and `--refined`: the graph network beside every simpler control."""
