"""One run on several processes: how they start, and what they exchange."""
