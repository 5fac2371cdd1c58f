"""The server of `miner review`: its JSON API, the page, and the file of decisions."""
