"""What the command line knows of training: options, defaults, arms, the plan of a run. Imports no torch."""
