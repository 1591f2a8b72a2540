"""Paddock's own code. tests/test_architecture.py checks the import directions."""
