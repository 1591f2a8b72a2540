"""Documents in requests, with the clients of OpenAI and Anthropic, answered by the echo loader with its prompt."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from modules.api.document_parts import DocumentReader
from modules.chat.attachments.model_images import ModelImages
from tests.support.documents import write_pdf
from tests.support.event_loop import run_async


@pytest.fixture
def pdf(tmp_path: Path) -> str:
    """Return a PDF of two pages, one without text, in base64."""
    return base64.b64encode(write_pdf(tmp_path / "a.pdf", ["The heron waits.", ""]).read_bytes()).decode()


def _ask(client: httpx.Client, part: Any) -> httpx.Response:
    messages = [{"role": "user", "content": [part, {"type": "text", "text": "Who waits?"}]}]
    return client.post("/v1/chat/completions", json={"messages": messages})


def test_a_document_becomes_its_text(pdf: str, tmp_path: Path) -> None:
    parts: list[dict[str, Any]] = [
        {"type": "file", "file": {"filename": "folder/birds.pdf", "file_data": f"data:application/pdf;base64,{pdf}"}},
        {"type": "document", "source": {"type": "text", "data": "Stays."}},
    ]
    body = {"messages": [{"role": "user", "content": parts}]}
    (note,) = run_async(DocumentReader(ModelImages(tmp_path)).read(body))
    assert note.startswith("birds.pdf: 1 of 2 pages have no text")
    assert parts[0] == {"type": "text", "text": "Document birds.pdf:\n\nThe heron waits.\n\n(end of birds.pdf)"}
    assert parts[1]["source"]["data"] == "Stays."


def test_a_document_in_a_chat_is_read(client: httpx.Client, pdf: str) -> None:
    answer = _ask(client, {"type": "file", "file": {"filename": "birds.pdf", "file_data": pdf}})
    assert answer.json()["choices"][0]["message"]["content"] == "Who waits?"
    assert answer.json()["usage"]["prompt_tokens"] > len(
        ["Document", "birds.pdf:", "The", "heron", "waits.", "Who", "waits?"]
    )
    assert answer.headers["X-Paddock-Warning"].startswith("birds.pdf: 1 of 2 pages have no text")


def test_a_document_in_a_response_is_read(client: httpx.Client, pdf: str) -> None:
    user = openai.OpenAI(base_url=f"{client.base_url}/v1", api_key="none", max_retries=0)
    parts: Any = [{"type": "input_text", "text": "Who?"}, {"type": "input_file", "filename": "b.pdf", "file_data": pdf}]
    found = user.responses.create(model="tiny", input=[{"role": "user", "content": parts}])
    assert found.output_text == "(end of b.pdf)"


def test_a_document_in_a_message_is_read(client: httpx.Client, pdf: str) -> None:
    user = anthropic.Anthropic(base_url=str(client.base_url), api_key="none", max_retries=0)
    source = {"type": "base64", "media_type": "application/pdf", "data": pdf}
    for kind, words in ((source, "(end of c.pdf)"), ({"type": "text", "data": "A plain text."}, "A plain text.")):
        parts: Any = [{"type": "text", "text": "Who?"}, {"type": "document", "title": "c.pdf", "source": kind}]
        messages: Any = [{"role": "user", "content": parts}]
        found = user.messages.create(model="tiny", max_tokens=90, messages=messages)
        assert getattr(found.content[0], "text", "") == words
        read = found.usage.input_tokens + (found.usage.cache_read_input_tokens or 0)
        assert user.messages.count_tokens(model="tiny", messages=messages).input_tokens == read


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"type": "file"}, "in base64"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "neither stored nor fetched"),
        ({"type": "file", "file": {"file_data": "!!"}}, "must be base64"),
        ({"type": "file", "file": {"file_data": base64.b64encode(bytes(99)).decode()}}, "is no text file"),
        ({"type": "document", "source": {"type": "url", "url": "http://10.0.0.1/"}}, "neither stored nor fetched"),
        ({"type": "input_file", "file_url": "http://10.0.0.1/"}, "neither stored nor fetched"),
    ],
)
def test_a_document_that_cannot_be_read_gets_a_sentence(client: httpx.Client, part: Any, words: str) -> None:
    answer = _ask(client, part)
    assert (answer.status_code, words in answer.json()["error"]["message"]) == (400, True), answer.text


def test_a_request_may_not_bring_too_many_documents(client: httpx.Client) -> None:
    part = {"type": "file", "file": {"filename": "a.txt", "file_data": base64.b64encode(b"x").decode()}}
    answer = client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": [part] * 21}]})
    assert answer.status_code == 400 and "at most 20 documents" in answer.json()["error"]["message"]
