"""Flags, what the user sets on the page, and settings for each model."""
