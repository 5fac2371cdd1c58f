"""The local pages of miner in a browser: who may call them, images, and the socket."""
