"""Keeps replies from ending early. All of the code is in worker.py, where tokens are chosen."""
