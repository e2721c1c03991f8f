"""Benchmarks: the engine beside bare pandas scripts that do the same work."""
