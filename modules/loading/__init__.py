"""From a model's name to a running worker: facts, consent, plan, settings, adapters, retries."""
