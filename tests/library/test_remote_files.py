"""`*.remote.yaml` files in the models folder are listed and described, and refused if their content is invalid."""

from __future__ import annotations

from pathlib import Path

import pytest

from modules.families.remote_file import RemoteFile
from modules.library.scan import ModelLibrary
from modules.library.trust import missing_consent, scan_trust
from tests.library.writers import gguf_bytes


def _facts(folder: Path, text: str | bytes) -> tuple[str, ...]:
    (folder / "far.remote.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
    facts = ModelLibrary(folder).facts("far.remote.yaml")
    assert facts.format == "remote"
    return facts.problems


def test_remote_files_are_listed_with_other_models_and_in_folders(tmp_path: Path) -> None:
    (tmp_path / "far.remote.yaml").write_text("address: http://host:8000")
    (tmp_path / "b.gguf").write_bytes(gguf_bytes())
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "big.remote.yml").write_text("address: https://host/v1")
    (tmp_path / "work" / "only.gguf").write_bytes(gguf_bytes())
    assert ModelLibrary(tmp_path).names() == ["b.gguf", "far.remote.yaml", "work/big.remote.yml", "work/only.gguf"]


def test_the_facts_name_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "far.remote.yaml").write_text(
        "address: http://host:8000\nmodel: big\nkey_env: FAR_KEY\ncontext: 4096\n"
    )
    facts = ModelLibrary(tmp_path).facts("far.remote.yaml")
    assert (facts.problems, facts.context) == ((), 4096)
    assert {(item.fact, item.value) for item in facts.evidence} >= {("address", "http://host:8000"), ("model", "big")}
    words = " ".join(facts.warnings)
    assert "sent to http://host:8000" in words
    assert "not encrypted" in words
    assert "FAR_KEY is needed there, but is not set" in words
    assert scan_trust(facts) == []
    assert missing_consent(facts, allow_pickle=False, allow_code=False) == ""


def test_the_facts_name_all_servers_of_a_model(tmp_path: Path) -> None:
    (tmp_path / "far.remote.yaml").write_text("address:\n- https://a\n- http://b:8000\n")
    facts = ModelLibrary(tmp_path).facts("far.remote.yaml")
    assert facts.problems == ()
    words = " ".join(facts.warnings)
    assert "sent to one of https://a, http://b:8000" in words
    assert "At least one address is not encrypted" in words


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "names no server"),
        ("address: ftp://host", "The address"),
        ("address: http://", "The address"),
        ("address: http://host:99999", "The address"),
        ("address: http://me:hush@host", "contains more than an address"),
        ("address: http://host\napi_key: sk-hush", "holds a key (api_key)"),
        ("address: http://host\nkey_env: sk-hush", "not the key itself"),
        ("address: http://host\nmodel: [a, b]", "must be one value"),
        ("address: {a: b}", "must be one address, or a list"),
        ("address: [http://a, ]\nmodel: {}", "must be one value"),
        ("address: [http://a, [http://b]]", "must be one address, or a list"),
        ("address: [http://a, '']", "must be one address, or a list"),
        ("address: [http://a, ftp://b]", "The address"),
        ("address: [http://a, http://me:hush@b]", "contains more than an address"),
        ("address: [http://a, http://b, http://a/v1/]", "names an address twice"),
        ("address: http://a, http://b", "several addresses of one model as a list"),
        ("address: http://a\nothers: http://b", "There is no setting named 'others'"),
        ("address: http://host\nretries: many", "Retries (retries) cannot be 'many'"),
        ("address: http://host\nnonsense: 1", "There is no setting named 'nonsense'"),
        ("a: &a [x, x]\nb: &b [*a, *a]\naddress: http://host", "must be one value"),
        ("address: !!python/object/apply:os.system ['true']", "python/object/apply:os.system' is not read"),
        ("[" * 100_000, "nested more than 64 levels"),
        (b"\xff\xfe\x00", "not text in UTF-8"),
        ("x" * 2_000_000, "larger than 1 MB"),
        ("just words", "names no server"),
    ],
)
def test_an_error_in_a_remote_file_is_a_sentence_without_the_key(tmp_path: Path, text: str | bytes, words: str) -> None:
    (problem,) = _facts(tmp_path, text)
    assert words in problem
    assert "hush" not in problem


@pytest.mark.parametrize(
    "address, api",
    [
        ("http://host:8000", "http://host:8000/v1"),
        ("http://host:8000/", "http://host:8000/v1"),
        ("https://host/v1/", "https://host/v1"),
        ("https://host/v1/chat/completions", "https://host/v1"),
        ("https://host/api/paas/v4", "https://host/api/paas/v4"),
    ],
)
def test_common_spellings_of_an_address_become_that_of_the_api(address: str, api: str) -> None:
    assert RemoteFile(address=address).api == api
