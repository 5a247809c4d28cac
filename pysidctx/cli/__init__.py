"""The commands of `python -m pysidctx`."""
