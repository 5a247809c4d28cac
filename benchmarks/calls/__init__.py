"""What single calls cost: of setting an id context, by pysidctx and by others, and of writing and reading sessions."""
