"""Transformers: full precision, 16 bits, and bitsandbytes in 8 and 4 bits."""
