"""The runs/NAME/ folders of training runs: names of files, saved networks, and what a run trains on."""
