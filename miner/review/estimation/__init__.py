"""From the answers of reviewers to the precision of all pairs: sampling, intervals, agreement, summary."""
