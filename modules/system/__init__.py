"""What host and workers use of Python and the operating system. Standard library only."""
