"""Benchmarks of pysidctx, compared with the functions that it calls and with its alternatives."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
