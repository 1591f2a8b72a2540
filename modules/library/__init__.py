"""Models on disk: what is there, what each is and from which evidence, who can run it, and whether to trust it."""
