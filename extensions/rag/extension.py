"""Adds passages of documents to the prompt: those that share rare words with the question."""

from __future__ import annotations

from typing import Any

import gradio as gr

from .index import Index

_state: dict[str, Index] = {}


def setup(host: Any, settings: Any) -> None:
    """Open the saved index."""
    _state["index"] = Index(host.data / "documents.json", settings.words)


def input_modifier(string: str, settings: Any) -> str | None:
    """Return the question after the passages found for it; None if there are none."""
    found = _state["index"].search(string, settings.passages)
    if not found:
        return None
    passages = "\n\n".join(f"[{name}] {text}" for name, text, _ in found)
    return f"From my documents:\n{passages}\n\n{string}"


def ui() -> None:
    """Add components that list, add and remove documents."""
    index = _state["index"]

    def rows() -> list[list[Any]]:
        return [[name, count] for name, count in index.documents()]

    def add(files: list[str] | None) -> tuple[list[list[Any]], None]:
        for path in files or []:
            index.add_file(path)
        return rows(), None

    def remove(name: str) -> tuple[list[list[Any]], str]:
        index.remove(name.strip())
        return rows(), ""

    with gr.Accordion("Documents", open=False):
        table = gr.Dataframe(rows, headers=["document", "passages"], interactive=False, elem_id="rag-documents")
        files = gr.File(
            label="Add documents: PDF, DOCX, XLSX, EPUB, HTML or text", file_count="multiple", elem_id="rag-files"
        )
        files.upload(add, files, [table, files])
        name = gr.Textbox(label="Remove a document", placeholder="its name, then Enter", elem_id="rag-remove")
        name.submit(remove, name, [table, name])
