"""Runs unchanged extensions of text-generation-webui. Only the command line imports this room."""

from modules.compat.scripts import Scripts

__all__ = ["Scripts"]
