"""What people attach to a message: the text of documents."""
