"""Programs from PyPI speak to the API as they are, each in a separate environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from modules.library.scan import DEMO_MODEL
from tests.support.clients import client_python, run_client

# What each script begins with. `free` is a structure that a model of any size can fill, because a grammar forces it.
_HEAD = """
import sys
from typing import Literal
from pydantic import BaseModel

address, model = sys.argv[1:3]
question = "How much memory is free?"

class Free(BaseModel):
    '''The free memory.'''
    amount: Literal[1, 2, 3]
    unit: Literal["bytes", "GiB"]
"""

LANGCHAIN = """
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

chat = ChatOpenAI(base_url=f"{address}/v1", api_key="none", model=model, temperature=0, max_tokens=40)
text = chat.invoke(question).content
assert text, text
assert "".join(part.content for part in chat.stream(question)) == text
assert isinstance(chat.with_structured_output(Free).invoke(question), Free)
called = chat.bind_tools([Free], tool_choice="Free").invoke(question)
assert [call["name"] for call in called.tool_calls] == ["Free"], called
assert [len(batch.content) > 0 for batch in chat.batch([question, "What is GGUF?"])] == [True, True]
embeddings = OpenAIEmbeddings(
    base_url=f"{address}/v1", api_key="none", model=model, check_embedding_ctx_length=False
)
vectors = embeddings.embed_documents(["one", "two"])
assert len(vectors) == 2 and len(vectors[0]) == len(embeddings.embed_query("one"))
"""

LLAMA_INDEX = """
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai import OpenAI
from llama_index.llms.openai_like import OpenAILike

for one in (
    OpenAI(model="gpt-4o", api_base=f"{address}/v1", api_key="none", temperature=0, max_tokens=40),
    OpenAILike(
        model=model, api_base=f"{address}/v1", api_key="none", is_chat_model=True, temperature=0, max_tokens=40
    ),
):
    text = one.chat([ChatMessage(role="user", content=question)]).message.content
    assert text, text
    assert "".join(part.delta for part in one.stream_chat([ChatMessage(role="user", content=question)])) == text
    assert one.complete(question).text
"""

LITELLM = """
import litellm

messages = [{"role": "user", "content": question}]
ours = dict(model=f"openai/{model}", api_base=f"{address}/v1", api_key="none", temperature=0, max_tokens=40)
text = litellm.completion(messages=messages, **ours).choices[0].message.content
assert text, text
parts = litellm.completion(messages=messages, stream=True, **ours)
assert "".join(part.choices[0].delta.content or "" for part in parts) == text
theirs = dict(model=f"anthropic/{model}", api_base=address, api_key="none", temperature=0, max_tokens=40)
assert litellm.completion(messages=messages, **theirs).choices[0].message.content == text
vectors = litellm.embedding(model=f"openai/{model}", input=["one"], api_base=f"{address}/v1", api_key="none")
assert len(vectors.data) == 1
"""

INSTRUCTOR = """
import instructor
from openai import OpenAI

plain = OpenAI(base_url=f"{address}/v1", api_key="none")
for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA):
    client = instructor.from_openai(plain, mode=mode)
    found = client.chat.completions.create(
        model=model, response_model=Free, messages=[{"role": "user", "content": question}], max_retries=1
    )
    assert isinstance(found, Free), (mode, found)
"""

OPENAI = """
from openai import BadRequestError, NotFoundError, OpenAI

client = OpenAI(base_url=f"{address}/v1", api_key="none")
messages = [{"role": "user", "content": question}]
answer = client.chat.completions.create(model=model, messages=messages, max_tokens=20, logprobs=True, top_logprobs=2)
assert answer.choices[0].logprobs.content[0].top_logprobs
assert client.chat.completions.parse(model=model, messages=messages, response_format=Free).choices[0].message.parsed
assert client.responses.parse(model=model, input=question, text_format=Free).output_parsed
with client.chat.completions.stream(model=model, messages=messages, max_tokens=20) as stream:
    assert [event for event in stream if event.type == "content.delta"]
stream = client.chat.completions.create(model=model, messages=messages, stream=True)
next(iter(stream))
stream.close()
assert len(client.embeddings.create(model=model, input=["one", "two"]).data) == 2
assert client.completions.create(model=model, prompt="GGUF is", max_tokens=5, best_of=2).choices[0].text
for wrong, kind in (({"model": "nope"}, NotFoundError), ({"temperature": 1.5, "top_p": 7}, BadRequestError)):
    try:
        client.chat.completions.create(**{"model": model, "messages": messages, **wrong})
    except kind as error:
        assert str(error)
    else:
        raise AssertionError(wrong)
"""

TEXT_GENERATION_WEBUI = """
import requests

body = {
    "messages": [{"role": "user", "content": "Hi!"}],
    "mode": "chat", "name1": "Sam", "name2": "Ada", "context": "Ada is a librarian.", "max_tokens": 30,
}
answer = requests.post(f"{address}/v1/chat/completions", json=body, verify=False, timeout=120)
answer.raise_for_status()
assert "content" in answer.json()["choices"][0]["message"]
for path in ("model/info", "model/list", "lora/list"):
    requests.get(f"{address}/v1/internal/{path}", timeout=60).raise_for_status()
tokens = requests.post(f"{address}/v1/internal/encode", json={"text": "Hi"}, timeout=60).json()["tokens"]
assert requests.post(f"{address}/v1/internal/decode", json={"tokens": tokens}, timeout=60).json()["text"].endswith("Hi")
"""

CLIENTS = {
    "openai": (OPENAI, ["openai==3.57.0"]),
    "langchain": (LANGCHAIN, ["langchain-openai==1.7.4"]),
    "llama-index": (LLAMA_INDEX, ["llama-index-llms-openai==0.8.3", "llama-index-llms-openai-like==0.8.1"]),
    "litellm": (LITELLM, ["litellm==1.110.2"]),
    "instructor": (INSTRUCTOR, ["instructor==1.17.0"]),
    "text-generation-webui": (TEXT_GENERATION_WEBUI, ["requests==2.34.2", "pydantic==2.14.4"]),
}


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_works_as_it_is(address: str, name: str) -> None:
    script, packages = CLIENTS[name]
    run_client([client_python(name, packages), "-"], _HEAD + script, address, DEMO_MODEL)


def test_llm_of_the_command_line_answers_and_follows_a_schema(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = client_python("llm", ["llm==0.36"])
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- model_id: paddock\n  model_name: {DEMO_MODEL}\n  api_base: {address}/v1\n  supports_schema: true\n"
    )
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    command: list[str | Path] = [python.with_name("llm"), "-m", "paddock", "-o", "max_tokens", "40"]
    assert run_client([*command, "What is GGUF?"], "").strip()
    assert run_client([*command, "--no-stream", "What is GGUF?"], "").strip()
    assert '"sure"' in run_client([*command, "--schema", "sure bool", "Is GGUF a format?"], "")
