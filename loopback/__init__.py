"""Servers on loopback, as the tests and the benchmarks start them: each a process, on a free port."""
