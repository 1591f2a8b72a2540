"""Paddock's own code. Import directions are held by tests/test_architecture.py."""
