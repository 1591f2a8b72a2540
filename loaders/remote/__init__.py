"""A model that another server runs, behind an OpenAI-compatible address."""
