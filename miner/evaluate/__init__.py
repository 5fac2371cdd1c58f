"""What a trained backbone is worth -> runs/NAME/eval/."""
