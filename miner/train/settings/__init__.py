"""Options, defaults, control arms and the plan of a training run, for the command line. This package imports no torch."""
