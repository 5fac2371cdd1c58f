"""Evaluates the frozen features of a trained backbone -> runs/NAME/eval/."""
