"""What the sections of the page say without pictures: numbers, tables, and sentences."""
