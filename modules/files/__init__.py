"""Paths, files read within limits, and files written atomically."""
