"""How many connections a second real servers take, with pysidctx and without."""
