"""Parts that methods are built of: queues, positives, banks of neighbours."""
