"""What host and worker say to each other. Standard library only; imports nothing of ours outside this room."""
