"""Documents into the prompt: passages that share rare words with the question go in front of it."""

from __future__ import annotations

from typing import Any

import gradio as gr

from .index import Index

_shelf: dict[str, Index] = {}


def setup(host: Any, settings: Any) -> None:
    """Open the kept index."""
    _shelf["index"] = Index(host.data / "documents.json", settings.words)


def input_modifier(string: str, settings: Any) -> str | None:
    """The question, with what was found in front of it; unchanged where nothing fits."""
    found = _shelf["index"].search(string, settings.passages)
    if not found:
        return None
    passages = "\n\n".join(f"[{name}] {text}" for name, text, _ in found)
    return f"From my documents:\n{passages}\n\n{string}"


def ui() -> None:
    """Add, list and remove documents."""
    index = _shelf["index"]

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
        files = gr.File(label="Add text, Markdown or HTML files", file_count="multiple", elem_id="rag-files")
        files.upload(add, files, [table, files])
        name = gr.Textbox(label="Remove a document", placeholder="its name, then Enter", elem_id="rag-remove")
        name.submit(remove, name, [table, name])
