"""Downloads of the host: they run in the background, stop, resume, survive a restart, and report progress."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modules.files.paths import PathError
from modules.library.download_choice import download_options, select_files
from modules.library.download_listing import RemoteFile, list_files, parse_repository_id
from modules.library.download_staging import DownloadError, lock_staging, staging_folder
from modules.library.downloads import Downloads, DownloadState
from modules.library.machine import inspect_machine
from modules.protocol.model_facts import Machine
from tests.library.writers import LLAMA_METADATA, LLAMA_TENSORS, gguf_bytes
from tests.support.hub import Hub, hub_of
from tests.support.models import write_model_folder

BIG = "tiny.Q8_0.gguf"


@pytest.fixture
def hub() -> Iterator[Hub]:
    """Run a hub with one GGUF model."""
    data = gguf_bytes({**LLAMA_METADATA, "general.description": "x" * 300_000}, LLAMA_TENSORS)
    with hub_of({BIG: data}) as hub:
        yield hub


class Changes:
    """Counts the changes of downloads, and waits for a phase."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0

    def __call__(self) -> None:
        with self._condition:
            self._count += 1
            self._condition.notify_all()

    def until(self, met: Callable[[], bool]) -> None:
        """Wait until `met` returns True, checking after each change."""
        with self._condition:
            assert self._condition.wait_for(met, 60)


def _begin(downloads: Downloads, hub: Hub) -> None:
    listing = list_files(parse_repository_id(hub.repository), hub.address)
    downloads.start(listing, select_files(listing, inspect_machine()))


def _only(downloads: Downloads) -> DownloadState:
    (state,) = downloads.states()
    return state


def _done(downloads: Downloads) -> int:
    progress = _only(downloads).progress
    return progress.done if progress else 0


def test_a_download_runs_in_the_background_and_becomes_a_model(hub: Hub, tmp_path: Path) -> None:
    changes = Changes()
    downloads = Downloads(tmp_path, changes, hub.address)
    _begin(downloads, hub)
    changes.until(lambda: _only(downloads).ended)
    state = _only(downloads)
    assert (state.phase, state.name, state.repository, state.percent) == ("done", BIG, hub.repository, 100)
    assert (tmp_path / BIG).read_bytes() == hub.files[BIG]
    downloads.discard(BIG)
    assert downloads.states() == [] and (tmp_path / BIG).exists()


def test_a_stopped_download_resumes_also_after_a_restart(hub: Hub, tmp_path: Path) -> None:
    hub.stalls[BIG] = 120_000
    changes = Changes()
    downloads = Downloads(tmp_path, changes, hub.address)
    _begin(downloads, hub)
    assert hub.stalled.wait(60)
    # Bytes that the hub has sent may not have arrived yet.
    changes.until(lambda: _done(downloads) == 120_000)
    with pytest.raises(DownloadError, match="is already being downloaded"):
        _begin(downloads, hub)
    with pytest.raises(DownloadError, match="Stop it first"):
        downloads.discard(BIG)
    downloads.stop(BIG)
    assert _only(downloads).phase == "stopping"
    hub.go_on.set()
    changes.until(lambda: _only(downloads).ended)
    assert "Stopped at 120 KB of 304 KB" in _only(downloads).status_text
    downloads.close()

    later = Downloads(tmp_path, changes, hub.address)
    state = _only(later)
    assert (state.phase, state.repository) == ("stopped", hub.repository)
    assert state.arrived >= 120_000
    later.resume(BIG)
    changes.until(lambda: _only(later).phase == "done")
    assert hub.gets(BIG) == ["", "bytes=120000-"]
    assert (tmp_path / BIG).read_bytes() == hub.files[BIG]


def test_an_error_is_kept_as_a_sentence_until_resumed_or_discarded(hub: Hub, tmp_path: Path) -> None:
    hub.gated = True
    changes = Changes()
    downloads = Downloads(tmp_path, changes, hub.address)
    _begin(downloads, hub)
    changes.until(lambda: _only(downloads).ended)
    error = _only(downloads).error
    assert error is not None and "is gated" in error.message
    hub.files = {"other.gguf": b""}
    hub.gated = False
    downloads.resume(BIG)
    changes.until(lambda: _only(downloads).ended)
    error = _only(downloads).error
    assert error is not None and f"no longer has {BIG}. Discard this download" in error.message
    downloads.discard(BIG)
    assert downloads.states() == [] and list(tmp_path.iterdir()) == []


def test_a_download_of_another_run_is_not_deleted(hub: Hub, tmp_path: Path) -> None:
    staging = staging_folder(tmp_path, BIG)
    staging.mkdir()
    with lock_staging(staging), pytest.raises(DownloadError, match="another run of Paddock"):
        Downloads(tmp_path, lambda: None).discard(BIG)
    assert staging.is_dir()


def test_a_name_outside_the_folder_is_no_download(tmp_path: Path) -> None:
    downloads = Downloads(tmp_path / "models", lambda: None)
    for act in (downloads.discard, downloads.resume):
        with pytest.raises(PathError, match="is not a valid name"):
            act("../../x")


def test_the_offers_of_a_repository_name_each_model_once_and_one_as_the_best(tmp_path: Path) -> None:
    machine = Machine("linux", "x86_64", 4, 16 << 30, 10 << 30)
    files = {name: b"x" for name in ("a.Q4_K_M.gguf", "a.Q8_0.gguf", "b.Q8_0.gguf")}
    with hub_of(files) as hub:
        listing = list_files(parse_repository_id(hub.repository), hub.address)
    found = download_options(listing, machine)
    assert {offer.label for offer in found} == {"Q4_K_M", "a.Q8_0", "b.Q8_0"}
    assert [offer.best for offer in found].count(True) == 1
    huge = tuple(RemoteFile(file.path, 40 << 30) for file in listing.files)
    assert all(
        offer.why_not and not offer.best
        for offer in download_options(type(listing)(listing.wanted, "", "", huge), machine)
    )
    made = write_model_folder(tmp_path / "made")
    with hub_of({path.name: path.read_bytes() for path in made.iterdir()}) as hub:
        (whole,) = download_options(list_files(parse_repository_id(hub.repository), hub.address), machine)
    assert (whole.label, whole.best) == ("Safetensors", True)
    assert "model.safetensors" in [file.path for file in whole.choice.files]
