"""Sections about neighbour graphs and refined features: charts, maps, and neighbours as thumbnails."""
