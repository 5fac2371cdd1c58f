"""From a few judged pairs to the precision of all: sampling, intervals, agreement, and their summary."""
