"""Benchmarks: `python3 -m benchmarks NAME [--json]`. Both sides of a comparison alternate in one run."""
