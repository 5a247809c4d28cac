"""The commands of `python -m pysidctx`."""

EXTRA = "install the extra `cli` (python -m pip install '.[cli]' in the checkout)"
