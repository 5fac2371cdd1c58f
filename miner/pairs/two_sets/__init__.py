"""Pairs between the images of two sets, as `miner pairs --against` finds them."""
