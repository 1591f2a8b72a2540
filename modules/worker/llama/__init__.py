"""Code that the llama.cpp loaders share in the worker."""
