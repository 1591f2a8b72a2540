"""Readers of the chats that other programs export, one file for each program."""
