"""Arms of a controlled study: what takes the place of the mined pairs, at the same number of steps."""
