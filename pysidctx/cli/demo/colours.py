"""The colours of the demo's picture: without pysidctx, and with it."""

PLAIN, OURS = "#b0b0b0", "#2b7bba"
