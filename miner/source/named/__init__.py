"""named."""
