"""Parts of methods: the ring buffer of queues, partners as positives, banks of neighbours."""
