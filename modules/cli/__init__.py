"""The sub-commands of webui.py."""
