"""Benchmarks and the chaos test; every one starts what it needs."""
