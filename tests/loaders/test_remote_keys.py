"""The environment variable that a remote model's file names is sent only to that server and only after consent."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from loaders.remote.server_keys import take_keys
from modules.app import App
from modules.families.remote_file import KEY_VARIABLE, RemoteFile, url_origin
from modules.library.remote_keys import KeyConsents, KeyNotAllowed, KeyRequest
from modules.protocol.errors import EnvironmentBroken, PaddockError
from modules.protocol.sampling import SamplingParams
from modules.settings.config import Config
from modules.settings.user_settings import YamlStore
from tests.support.server import serving

FILE = "far.remote.yaml"


@pytest.fixture
def far(config: Config) -> Iterator[str]:
    """Return the address of another Paddock with the echo loader, which requires a key."""
    app = App(dataclasses.replace(config, api_key="hush"))
    app.models.load("tiny", "echo")
    with serving(app) as address:
        yield address
    app.close()


def _near(config: Config, tmp_path: Path, far: str, *flags: str) -> App:
    models = tmp_path / "near"
    models.mkdir(exist_ok=True)
    (models / FILE).write_text(f"address: {far}\nmodel: tiny\nkey_env: FAR_SECRET\n")
    user_data = tmp_path / "near_data"
    return App(dataclasses.replace(config, models=models, user_data=user_data, show_echo=False, allow_env=flags))


def test_a_key_is_sent_only_after_consent_that_is_saved(
    config: Config, tmp_path: Path, far: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAR_SECRET", "hush")
    app = _near(config, tmp_path, far)
    try:
        with pytest.raises(KeyNotAllowed, match=rf"FAR_SECRET to be sent to {far}.*--allow-env FAR_SECRET={far}"):
            app.models.load(FILE)
        app.keys.allow(KeyRequest("FAR_SECRET", url_origin(far)))
        app.models.load(FILE)
        assert app.supervisor.state.phase == "ready"
    finally:
        app.close()
    again = _near(config, tmp_path, far)
    try:
        again.models.load(FILE)
        (tmp_path / "near" / FILE).write_text("address: http://127.0.0.1:9\nmodel: tiny\nkey_env: FAR_SECRET\n")
        with pytest.raises(KeyNotAllowed, match="127.0.0.1:9"):
            again.models.load(FILE)
    finally:
        again.close()


def test_a_flag_at_start_is_consent(config: Config, tmp_path: Path, far: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAR_SECRET", "hush")
    app = _near(config, tmp_path, far, f"FAR_SECRET={far}/v1")
    try:
        app.models.load(FILE)
        assert app.supervisor.state.phase == "ready"
    finally:
        app.close()


def test_each_of_several_addresses_needs_consent(
    config: Config, tmp_path: Path, far: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAR_SECRET", "hush")
    other = "http://127.0.0.1:9"
    app = _near(config, tmp_path, f"[{far}, {other}]", f"FAR_SECRET={far}")
    try:
        with pytest.raises(KeyNotAllowed) as refused:
            app.models.load(FILE)
        assert f"--allow-env FAR_SECRET={other}." in refused.value.message
        assert far not in refused.value.message
        app.keys.allow(KeyRequest("FAR_SECRET", other))
        app.models.load(FILE)
        assert any(f"{other} is left out" in note for note in app.supervisor.loaded().notes)
        generation = app.supervisor.generate("one two", SamplingParams())
        assert generation.wait(60) and generation.finished is not None
        assert (generation.text, generation.finished.served_by) == ("one two", far)
    finally:
        app.close()


def test_a_worker_takes_a_key_only_for_the_addresses_that_were_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    file = RemoteFile(address="http://a", others=("http://b:80/v1",), key_env="FAR_SECRET")
    monkeypatch.delenv("FAR_SECRET", raising=False)
    monkeypatch.setenv(KEY_VARIABLE, json.dumps({"http://a:80": "hush", "http://b:80": "hush"}))
    assert take_keys(file) == {"http://a": "hush", "http://b:80/v1": "hush"}
    assert KEY_VARIABLE not in os.environ
    monkeypatch.setenv(KEY_VARIABLE, json.dumps({"http://a:80": "hush"}))
    with pytest.raises(EnvironmentBroken, match="The key for http://b:80/v1") as refused:
        take_keys(file)
    assert "hush" not in refused.value.message


def test_consent_applies_to_one_variable_at_one_address(tmp_path: Path) -> None:
    consents = KeyConsents(YamlStore(tmp_path / "kept.yaml"), ["A=https://Host"])
    assert consents.allows(KeyRequest("A", url_origin("https://host:443/v1")))
    for name, address in (
        ("B", "https://host"),
        ("A", "http://host"),
        ("A", "https://host:8443"),
        ("A", "https://host.x"),
    ):
        assert not consents.allows(KeyRequest(name, url_origin(address)))
    consents.allow(KeyRequest("B", url_origin("http://other")))
    kept = KeyConsents(YamlStore(tmp_path / "kept.yaml"))
    assert kept.allows(KeyRequest("B", url_origin("http://other"))) and not kept.allows(
        KeyRequest("A", url_origin("https://host"))
    )


@pytest.mark.parametrize("flag", ["", "A", "A=", "A=host", "A=ftp://host", "A=http://", "A=http://h:x"])
def test_an_invalid_flag_is_refused(tmp_path: Path, flag: str) -> None:
    with pytest.raises(PaddockError, match="NAME=ADDRESS"):
        KeyConsents(YamlStore(tmp_path / "kept.yaml"), [flag])
