"""llama.cpp's server, in the worker's own process."""
