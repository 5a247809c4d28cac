"""The arguments of `demo`; it needs no other package to tell what they are."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plot", metavar="FILE", help="draw the comparison (needs matplotlib)")
    parser.add_argument("--json", action="store_true", help="print what was seen as JSON")
