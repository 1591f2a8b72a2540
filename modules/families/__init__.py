"""What the spec and the worker of one family of loaders share. Standard library only."""
