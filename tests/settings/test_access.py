"""The flags that say who may reach Paddock."""

from __future__ import annotations

from pathlib import Path

import pytest

from modules.cli.parser import parser
from modules.protocol.errors import PaddockError
from modules.settings.access import Access, parse_origin, read_access


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove secrets of the environment."""
    for name in ("PASSWORD", "API_KEY", "ADMIN_KEY"):
        monkeypatch.delenv(f"PADDOCK_{name}", raising=False)


def _read(*flags: str) -> Access:
    return read_access(parser().parse_args(flags))


def test_without_flags_only_this_machine_is_served() -> None:
    access = _read()
    assert (access.host, access.listen, access.has_secret, access.cors_origins) == ("127.0.0.1", False, False, ())


@pytest.mark.parametrize("secret", ["password", "api-key", "admin-key"])
def test_each_secret_opens_listening_by_flag_file_or_variable(
    secret: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    field = secret.replace("-", "_")
    assert getattr(_read("--listen", f"--{secret}", "x"), field) == "x"
    (tmp_path / "secret").write_text("y\n")
    assert getattr(_read("--listen", f"--{secret}-file", str(tmp_path / "secret")), field) == "y"
    monkeypatch.setenv(f"PADDOCK_{field.upper()}", "z")
    access = _read("--listen")
    assert (getattr(access, field), access.host) == ("z", "0.0.0.0")


def test_listening_without_a_secret_is_an_explicit_choice() -> None:
    with pytest.raises(PaddockError, match="needs a secret"):
        _read("--listen")
    access = _read("--listen", "--no-password")
    assert access.listen and not access.has_secret
    with pytest.raises(PaddockError, match="Remove one of them"):
        _read("--listen", "--no-password", "--api-key", "x")


@pytest.mark.parametrize(
    "flags",
    [
        ("--password", "x", "--api-key", "x"),
        ("--password", "x", "--admin-key", "x"),
        ("--api-key", "x", "--admin-key", "x"),
    ],
)
def test_two_secrets_that_are_the_same_are_refused(flags: tuple[str, ...]) -> None:
    with pytest.raises(PaddockError, match="are the same"):
        _read(*flags)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://Example.org", "https://example.org"),
        ("https://example.org/", "https://example.org"),
        ("https://example.org:443", "https://example.org"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:80", "http://[::1]"),
        ("*", "*"),
    ],
)
def test_an_origin_is_written_as_browsers_write_it(text: str, origin: str) -> None:
    assert parse_origin(text) == origin


@pytest.mark.parametrize("text", ["example.org", "https://a.test/path", "null", "https://*.a.test", "file:///", ""])
def test_what_is_no_origin_is_a_sentence(text: str) -> None:
    with pytest.raises(PaddockError, match="is not a site's address"):
        parse_origin(text)


def test_all_sites_need_a_key() -> None:
    with pytest.raises(PaddockError, match="needs a key"):
        _read("--cors-allow-origin", "*")
    assert _read("--cors-allow-origin", "*", "--api-key", "x").cors_origins == ("*",)


def test_a_private_key_without_a_certificate_is_refused() -> None:
    with pytest.raises(PaddockError, match="add --ssl-certfile FILE"):
        _read("--ssl-keyfile", "key.pem")
