"""Knowledge (RAG, retrieval-augmented generation): named folders of documents that chats can use, searched by words
and by meaning."""
