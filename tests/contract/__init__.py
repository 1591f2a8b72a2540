"""One suite that every loader must pass, on a real model, in a real worker process."""
