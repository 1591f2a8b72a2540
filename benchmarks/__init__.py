"""Paddock's figures: `python3 -m benchmarks NAME [--json]`. Both sides of a comparison run in one run, alternating."""
