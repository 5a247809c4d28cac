"""What pysidctx costs, measured against what it stands on and what one would use otherwise."""
