"""The options of `miner train` by the panel of `--help` that shows them; each group checks how its options fit together."""
