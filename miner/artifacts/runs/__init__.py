"""The runs/NAME/ folders of training runs: saved networks, what a run trains on, and the labelled images of an evaluation."""
