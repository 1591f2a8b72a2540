"""What both llama.cpp loaders share in the worker."""
