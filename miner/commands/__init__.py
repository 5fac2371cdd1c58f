"""Commands that are no stages, and what the command line makes of options: flags and help pages."""
