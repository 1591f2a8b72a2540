"""Run extensions written for text-generation-webui as they are. Only the command line imports this room."""

from modules.compat.scripts import Scripts

__all__ = ["Scripts"]
