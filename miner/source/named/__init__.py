"""Data sets with a name: inside the package, or fetched once into the cache."""
