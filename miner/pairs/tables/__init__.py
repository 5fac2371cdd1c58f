"""What `miner pairs` writes and counts: tables, statistics, groups."""
