"""Recommend how to quantize a model: which method, which loader, how large, how fast, at which loss."""
