"""What the page shows of neighbour graphs: charts, maps, neighbourhoods."""
