"""Data sets that have a name: data inside the package, or fetched once into the cache."""
