"""What pysidctx costs, measured against what it stands on and what one would use otherwise."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
