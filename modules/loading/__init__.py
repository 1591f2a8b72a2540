"""Loads models: chooses loader and settings, checks consent and memory, applies adapters, retries."""
