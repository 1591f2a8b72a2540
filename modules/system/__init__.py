"""What host and workers need from Python and the operating system. Standard library only."""
