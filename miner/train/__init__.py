"""Self-supervised pretraining on own views and semantic pairs -> runs/NAME/."""
