"""The server of `miner review`: its JSON API, the page, images, access, and the file of decisions."""
