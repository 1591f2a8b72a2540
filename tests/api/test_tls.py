"""HTTPS with a certificate of one's own, and what is said of files that are none."""

from __future__ import annotations

import dataclasses
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from modules.api.tls import tls_options
from modules.protocol.errors import PaddockError
from modules.settings.access import Access
from tests.browser.conftest import Served, prepare
from tests.support.certificates import write_certificate


def test_the_page_and_the_api_are_served_over_https(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path / "tls")
    served = Served(prepare(tmp_path), "--no-model", "--ssl-certfile", str(certificate), "--ssl-keyfile", str(key))
    try:
        address = served.wait()
        assert address.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=certificate)
        for path in ("/", "/v1/models"):
            with urllib.request.urlopen(f"{address}{path}", timeout=60, context=trusting) as answer:
                assert answer.status == 200
        # A page that was opened over https sends this origin.
        request = urllib.request.Request(f"{address}/v1/models", headers={"Origin": address})
        with urllib.request.urlopen(request, timeout=60, context=trusting) as answer:
            assert answer.status == 200
        with pytest.raises(OSError):
            urllib.request.urlopen(address.replace("https", "http"), timeout=60)
    finally:
        served.close()
    assert not any("Traceback" in line for line in served.lines), served.lines


def test_a_key_in_the_certificates_file_is_found(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    assert tls_options(Access(ssl_certfile=both)) == {"ssl_certfile": both, "ssl_keyfile": both}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ssl_certfile": "missing.pem"}, "--ssl-certfile: "),
        ({"ssl_keyfile": "missing.pem"}, "--ssl-keyfile: "),
        ({"ssl_certfile": "."}, "cannot be read"),
        ({"ssl_certfile": "text.pem"}, "not a certificate and a private key in PEM form"),
        ({"ssl_keyfile": "text.pem"}, "not a certificate and a private key in PEM form"),
        ({"ssl_keyfile": "other/key.pem"}, "does not belong to the certificate"),
        ({"ssl_keyfile": None}, "add --ssl-keyfile FILE"),
        ({"ssl_keyfile": "secret/key.pem"}, "is encrypted. Decrypt it"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_sentence(tmp_path: Path, change: dict[str, str | None], words: str) -> None:
    certificate, key = write_certificate(tmp_path)
    write_certificate(tmp_path / "other")
    write_certificate(tmp_path / "secret", "-passout", "pass:word")
    (tmp_path / "text.pem").write_text("no certificate")
    access = dataclasses.replace(
        Access(ssl_certfile=certificate, ssl_keyfile=key),
        **{name: file and tmp_path / file for name, file in change.items()},  # type: ignore[arg-type]
    )
    with pytest.raises(PaddockError) as error:
        tls_options(access)
    assert words in error.value.message


def test_one_command_opens_the_api_to_a_network_for_a_key(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path / "tls")
    (tmp_path / "api-key.txt").write_text("a key\n")
    # The command of docs/security.md.
    flags = ["--listen", "--api-key-file", str(tmp_path / "api-key.txt")]
    flags += ["--ssl-certfile", str(certificate), "--ssl-keyfile", str(key)]
    served = Served(prepare(tmp_path), "--no-model", *flags)
    try:
        address = served.wait()
        trusting = ssl.create_default_context(cafile=certificate)
        for secret, status in (("a key", 200), ("another", 401), ("", 401)):
            # As another machine calls this one.
            headers = {"Host": "paddock.test", **({"Authorization": f"Bearer {secret}"} if secret else {})}
            request = urllib.request.Request(f"{address}/v1/models", headers=headers)
            try:
                with urllib.request.urlopen(request, timeout=60, context=trusting) as answer:
                    found = answer.status
            except urllib.error.HTTPError as error:
                found = error.code
            assert found == status
    finally:
        served.close()
    assert not any("Warning" in line or "Traceback" in line for line in served.lines), served.lines


def test_a_start_open_to_all_prints_a_warning(tmp_path: Path) -> None:
    served = Served(prepare(tmp_path), "--no-model", "--listen", "--no-password")
    try:
        with urllib.request.urlopen(f"{served.wait()}/v1/models", timeout=60) as answer:
            assert answer.status == 200
    finally:
        served.close()
    assert any(line.startswith("Warning: everyone in your network") for line in served.lines)
