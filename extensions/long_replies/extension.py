"""Keeps replies from ending early. All of it is in worker.py, where tokens are chosen."""
