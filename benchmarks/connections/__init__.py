"""The number of connections per second that real servers accept, with and without pysidctx."""
