"""`miner calibrate`: a similarity band for an encoder and images, and the rules side by side, without labels."""
