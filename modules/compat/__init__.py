"""Extensions written for text-generation-webui, run as they are. Nothing of Paddock's imports this but by name."""

from modules.compat.scripts import Scripts

__all__ = ["Scripts"]
