"""The command line: its sub-commands and what they print."""
