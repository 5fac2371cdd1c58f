"""`miner leaks`: images that several sets share, as copies or as the same scene -> `leaks/`."""
