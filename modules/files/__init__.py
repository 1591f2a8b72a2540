"""Paths, and files read within limits and written whole."""
