"""The last step of a job that makes a model: from the staging folder into models/."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from modules.jobs.job_spec import JobError
from modules.jobs.staging import publish, staging_folder


def test_all_bytes_are_on_the_disk_before_the_model_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, synced = tmp_path / "made", set()

    def sync(handle: int) -> None:
        assert not target.exists()
        synced.add(os.fstat(handle).st_ino)

    monkeypatch.setattr(os, "fsync", sync)
    with staging_folder(tmp_path, "made") as folder:
        (folder / "deep").mkdir()
        files = [folder / "model.safetensors", folder / "deep" / "vocabulary.json"]
        for file in files:
            file.write_bytes(b"weights")
        wanted = {file.stat().st_ino for file in files}
        publish(folder, target)
    assert synced == wanted
    assert (target / "deep" / "vocabulary.json").read_bytes() == b"weights"


def test_a_disk_that_refuses_the_bytes_leaves_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    refused = pytest.raises(JobError, match="could not be written into models/ .*Free some disk space")
    with refused, staging_folder(tmp_path, "made") as folder:
        (folder / "model.safetensors").write_bytes(b"weights")
        publish(folder, tmp_path / "made")
    assert list(tmp_path.iterdir()) == []
