"""The cost of single calls: setting an id context with pysidctx and with others, writing and reading sessions."""
