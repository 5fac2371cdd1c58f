"""Three ways to bring test images into the graph; only the inductive one says what a new image would get."""
