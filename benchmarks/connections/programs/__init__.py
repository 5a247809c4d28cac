"""The servers that are put under load, each a program of its own."""
