"""vLLM: many requests at once, on one card, several, or several machines."""
