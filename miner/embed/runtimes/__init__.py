"""Libraries beside PyTorch that compute an encoder on a CPU, and the choice between them."""
