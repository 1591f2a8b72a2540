"""Bad files, bad settings and crashes give a sentence, and a worker that is usable or known to be dead."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modules.protocol.errors import ModelError, PaddockError, SettingError
from modules.protocol.loader_spec import LoaderSpec
from modules.runtime.worker_exit import WorkerDied
from tests.contract.under_test import QUESTION, UnderTest, demo_model

pytestmark = pytest.mark.contract
Start = Callable[[], UnderTest]


def _weights(path: Path) -> Path:
    """Return the file with the weights of a model, which is a file or a folder."""
    return path if path.is_file() else next(path.glob("*.safetensors"))


def _copy(spec: LoaderSpec, folder: Path) -> Path:
    source = demo_model(spec)
    target = folder / source.name
    if source.is_file():
        shutil.copyfile(source, target)
    else:
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("training"))
    return target


def _truncate(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _cut_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


def _garbage(path: Path) -> None:
    path.write_bytes(b"not a model " * 5000)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _huge_count(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[16:24] = (2**63).to_bytes(8, "little")
    path.write_bytes(bytes(data))


def _is_sentence(error: PaddockError) -> bool:
    return len(error.message) > 20 and error.message.rstrip().endswith(".") and "Traceback" not in error.message


@pytest.fixture(scope="module")
def reusable_worker(spec: LoaderSpec, python: Path, server: None) -> Iterator[Start]:
    """Return a function that returns the worker for one bad model after another. It starts a new one if the last has
    died."""
    workers: list[UnderTest] = []

    def begin() -> UnderTest:
        if not workers or workers[-1].exits:
            workers.append(UnderTest(spec, python))
        return workers[-1]

    yield begin
    for worker in workers:
        worker.client.stop()


def test_a_missing_model_is_an_error(reusable_worker: Start, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as refused:
        reusable_worker().load(tmp_path / "nothing.gguf")
    assert _is_sentence(refused.value)


@pytest.mark.parametrize("harm", [_truncate, _cut_header, _garbage, _empty, _huge_count])
def test_a_damaged_model_is_refused_with_a_sentence(
    spec: LoaderSpec, reusable_worker: Start, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    worker, path = reusable_worker(), _copy(spec, tmp_path)
    harm(_weights(path))
    with pytest.raises(PaddockError) as refused:
        worker.load(path)
    assert _is_sentence(refused.value)
    if isinstance(refused.value, WorkerDied):
        assert worker.exits
    else:
        assert isinstance(refused.value, ModelError)


def test_after_bad_models_a_good_one_is_loaded(spec: LoaderSpec, reusable_worker: Start, tmp_path: Path) -> None:
    worker = reusable_worker()
    with pytest.raises(ModelError):
        worker.load(tmp_path / "nothing.gguf")
    worker.load(demo_model(spec))
    assert worker.greedy(worker.chat(QUESTION))


def test_an_unknown_setting_is_refused_with_the_names_that_exist(reusable_worker: Start) -> None:
    worker = reusable_worker()
    with pytest.raises(SettingError) as refused:
        worker.load(demo_model(worker.spec), no_such_setting=1)
    assert "no_such_setting" in refused.value.message


def test_unload_ends_the_process_with_status_0(reusable_worker: Start) -> None:
    worker = reusable_worker()
    worker.load(demo_model(worker.spec))
    generation = worker.begin(worker.chat(QUESTION), ban_eos_token=True, max_new_tokens=1500)
    worker.client.stop()
    assert generation.done
    (end,) = worker.exits
    assert (end.cause, end.status) == ("unloaded", 0)


def test_a_killed_worker_is_reported_and_its_text_is_kept(start: Start) -> None:
    import os
    import signal

    from tests.contract.under_test import wait_for_tokens

    worker = start()
    worker.load(demo_model(worker.spec))
    generation = worker.begin(worker.chat(QUESTION), ban_eos_token=True, max_new_tokens=1500)
    wait_for_tokens(generation, 3)
    os.kill(worker.client.process.pid, signal.SIGKILL)
    assert generation.wait(60)
    assert isinstance(generation.error, WorkerDied) or generation.finished
    assert generation.text
