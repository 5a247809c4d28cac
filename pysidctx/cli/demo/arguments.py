"""The arguments of `demo`. This module imports no optional package, so `demo --help` always works."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plot", metavar="FILE", help="draw the comparison as an image (needs matplotlib)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
