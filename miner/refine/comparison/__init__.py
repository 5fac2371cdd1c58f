"""`miner eval graph` and `--refined`: accuracy of refined features, beside every simpler control."""
