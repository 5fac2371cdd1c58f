"""`miner calibrate`: a similarity band for an encoder and images, without labels."""
