"""Jobs: quantize, evaluate and compare models in workers of their own."""
