"""What looks at a run after each epoch without changing it: RankMe, kNN accuracy, neighbour agreement."""
