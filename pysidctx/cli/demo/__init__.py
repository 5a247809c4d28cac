"""The command `demo`: two servers side by side, on plain ssl and with pysidctx."""
