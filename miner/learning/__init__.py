"""What training, refinement and evaluation share: random numbers, checkpoints, schedules, classifiers on features."""
