"""Writes GGUF files from model folders and from other GGUF files. Needs the standard library and ggml's library."""
