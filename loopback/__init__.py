"""Start servers on loopback for the tests and the benchmarks: each in its own process, on a free port."""
