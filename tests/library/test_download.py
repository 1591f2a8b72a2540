"""Downloads from a local hub: which files are chosen, what a broken connection leaves, and what is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from modules.library.download import Download, DownloadProgress
from modules.library.download_choice import (
    FileSelection,
    gguf_variants,
    quantization_in_name,
    select_files,
    suggest_variant,
)
from modules.library.download_listing import RemoteFile, list_files, parse_repository_id
from modules.library.download_staging import DownloadError
from modules.library.download_transfer import DownloadStopped
from modules.library.machine import inspect_machine
from modules.library.scan import ModelLibrary
from modules.protocol.model_facts import Machine
from tests.library.writers import LLAMA_METADATA, LLAMA_TENSORS, gguf_bytes
from tests.support.hub import Hub, hub_of
from tests.support.models import write_model_folder

pytestmark = pytest.mark.slow

BIG = "tiny.Q8_0.gguf"


@pytest.fixture(scope="module")
def gguf() -> bytes:
    """Return a valid GGUF file of 304 KB."""
    return gguf_bytes({**LLAMA_METADATA, "general.description": "x" * 300_000}, LLAMA_TENSORS)


@pytest.fixture
def hub(gguf: bytes) -> Iterator[Hub]:
    """Run a hub with one GGUF model."""
    with hub_of({BIG: gguf, "README.md": b"# Tiny"}) as hub:
        yield hub


@pytest.fixture
def folder(tmp_path: Path) -> dict[str, bytes]:
    """Return the files of a safetensors model."""
    made = write_model_folder(tmp_path / "made")
    return {path.name: path.read_bytes() for path in made.iterdir()}


def _download(hub: Hub, models: Path, pattern: str = "", quant: str = "", **options: object) -> Download:
    listing = list_files(parse_repository_id(hub.repository), hub.address)
    choice = select_files(listing, inspect_machine(), pattern, quant)
    return Download(models, listing, choice, pause_seconds=0.01, **options)  # type: ignore[arg-type]


def _refusal(hub: Hub, name: str = "") -> str:
    with pytest.raises(DownloadError) as caught:
        list_files(parse_repository_id(name or hub.repository), hub.address)
    return caught.value.message


def test_a_gguf_file_is_downloaded_and_listed(hub: Hub, tmp_path: Path, gguf: bytes) -> None:
    steps: list[DownloadProgress] = []
    path = _download(hub, tmp_path, report=steps.append).run()
    assert path == tmp_path / BIG
    assert path.read_bytes() == gguf
    assert ModelLibrary(tmp_path).names() == [BIG]
    assert [entry.name for entry in tmp_path.iterdir()] == [BIG]
    assert (steps[-1].done, steps[-1].total, steps[-1].file) == (len(gguf), len(gguf), BIG)


def test_safetensors_are_downloaded_with_their_other_files_and_without_pickles(
    folder: dict[str, bytes], tmp_path: Path
) -> None:
    others = {name: b"x" for name in ("pytorch_model.bin", "onnx/model.onnx", ".gitattributes", "tiny.Q4_0.gguf")}
    with hub_of(
        {**folder, **others, "tokenizer.json": b"{}", "LICENSE": b"free", "consolidated.safetensors": b"x"}
    ) as hub:
        path = _download(hub, tmp_path / "models").run()
    assert sorted(entry.name for entry in path.iterdir()) == sorted([*folder, "tokenizer.json", "LICENSE"])
    assert path.name == "tiny"
    assert ModelLibrary(tmp_path / "models").facts("tiny").problems == ()


def test_pickles_are_downloaded_only_without_other_weights() -> None:
    with hub_of({"config.json": b"{}", "pytorch_model.bin": b"x", "training_args.bin": b"y"}) as hub:
        choice = select_files(list_files(parse_repository_id(hub.repository), hub.address), inspect_machine())
    assert [file.path for file in choice.files] == ["config.json", "pytorch_model.bin"]
    assert "--trust-pickle" in choice.reason


def test_a_broken_connection_is_resumed(hub: Hub, tmp_path: Path, gguf: bytes) -> None:
    hub.breaks[BIG] = [100_000, 50_000]
    path = _download(hub, tmp_path).run()
    assert path.read_bytes() == gguf
    assert hub.gets(BIG) == ["", "bytes=100000-", "bytes=150000-"]


def test_a_request_to_a_busy_hub_is_repeated(hub: Hub, tmp_path: Path, gguf: bytes) -> None:
    hub.busy.extend([503, 429, 500])
    assert _download(hub, tmp_path).run().read_bytes() == gguf


def test_a_hub_that_ignores_ranges_does_not_corrupt_the_file(hub: Hub, tmp_path: Path, gguf: bytes) -> None:
    hub.ranges = False
    hub.breaks[BIG] = [100_000]
    steps: list[DownloadProgress] = []
    assert _download(hub, tmp_path, report=steps.append).run().read_bytes() == gguf
    assert steps[-1].done == len(gguf)


def test_a_connection_that_stays_broken_leaves_no_model_and_the_next_run_resumes(
    hub: Hub, tmp_path: Path, gguf: bytes
) -> None:
    hub.breaks[BIG] = [100_000]
    job = _download(hub, tmp_path)
    hub.breaks[BIG] += [0] * 5
    with pytest.raises(DownloadError, match=r"broke off after 100 KB of 304 KB.*is kept"):
        job.run()
    assert ModelLibrary(tmp_path).names() == []
    hub.seen.clear()
    assert _download(hub, tmp_path).run().read_bytes() == gguf
    assert hub.gets(BIG) == ["bytes=100000-"]


def test_complete_files_are_not_downloaded_again(folder: dict[str, bytes], tmp_path: Path) -> None:
    with hub_of(folder) as hub:
        hub.spoilt.add("tokenizer_config.json")
        with pytest.raises(DownloadError):
            _download(hub, tmp_path / "models").run()
        assert ModelLibrary(tmp_path / "models").names() == []
        hub.spoilt.clear()
        _download(hub, tmp_path / "models").run()
        assert [hub.gets(name) for name in sorted(folder)] == [[""], [""], ["", ""]]


@pytest.mark.parametrize("spoilt", [BIG, "README.md"])
def test_a_file_with_a_wrong_checksum_is_deleted(hub: Hub, tmp_path: Path, spoilt: str) -> None:
    hub.spoilt.add(spoilt)
    with pytest.raises(DownloadError, match="wrong checksum, so it was deleted"):
        _download(hub, tmp_path, pattern="*").run()
    assert ModelLibrary(tmp_path).names() == []
    assert not any((tmp_path / ".download-tiny" / "parts").iterdir())
    hub.spoilt.clear()
    assert _download(hub, tmp_path, pattern="*").run().is_dir()


def _leave_part(models: Path, hub: Hub, data: bytes) -> None:
    (file,) = (file for file in list_files(parse_repository_id(hub.repository), hub.address).files if file.path == BIG)
    part = models / f".download-{BIG}" / "parts" / file.sha256
    part.parent.mkdir(parents=True)
    part.write_bytes(data)


def test_a_partial_file_that_is_too_long_is_downloaded_again(hub: Hub, tmp_path: Path, gguf: bytes) -> None:
    _leave_part(tmp_path, hub, gguf + b"more")
    assert _download(hub, tmp_path).run().read_bytes() == gguf


def test_a_hub_whose_file_is_shorter_than_its_listing_ends_the_download(hub: Hub, tmp_path: Path, gguf: bytes) -> None:
    _leave_part(tmp_path, hub, gguf[:200_000])
    job = _download(hub, tmp_path)
    hub.files[BIG] = gguf[:100_000]
    with pytest.raises(DownloadError, match="broke off after"):
        job.run()
    assert "bytes=200000-" in hub.gets(BIG)
    assert "" in hub.gets(BIG)


def test_a_hub_that_sends_another_range_is_refused(hub: Hub, tmp_path: Path, gguf: bytes) -> None:
    hub.breaks[BIG] = [100_000]
    hub.shift = 10
    steps: list[DownloadProgress] = []
    assert _download(hub, tmp_path, report=steps.append).run().read_bytes() == gguf
    assert hub.gets(BIG) == ["", "bytes=100000-", ""]
    assert steps[-1].done == len(gguf)


def test_existing_models_are_never_overwritten(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / BIG).write_bytes(b"mine")
    with pytest.raises(DownloadError, match="already has tiny.Q8_0.gguf, which was not changed"):
        _download(hub, tmp_path).run()
    assert (tmp_path / BIG).read_bytes() == b"mine"
    assert hub.gets(BIG) == []


def test_a_stopped_download_can_be_resumed(hub: Hub, tmp_path: Path, gguf: bytes) -> None:
    jobs: list[Download] = []
    job = _download(hub, tmp_path, report=lambda progress: jobs[0].stop() if progress.done else None)
    jobs.append(job)
    with pytest.raises(DownloadStopped, match="to continue from here"):
        job.run()
    assert ModelLibrary(tmp_path).names() == []
    assert _download(hub, tmp_path).run().read_bytes() == gguf


def test_two_runs_do_not_write_to_the_same_download(hub: Hub, tmp_path: Path) -> None:
    hub.stalls[BIG] = 1000
    first = _download(hub, tmp_path)
    thread = threading.Thread(target=first.run)
    thread.start()
    assert hub.stalled.wait(30)
    with pytest.raises(DownloadError, match="downloaded by another run"):
        _download(hub, tmp_path).run()
    hub.go_on.set()
    thread.join(30)
    assert ModelLibrary(tmp_path).names() == [BIG]


def test_a_download_larger_than_the_disk_is_refused_at_the_start(hub: Hub, tmp_path: Path) -> None:
    listing = list_files(parse_repository_id(hub.repository), hub.address)
    huge = RemoteFile(BIG, 10**18, "0" * 64)
    with pytest.raises(DownloadError, match="more on the disk, and .* are free"):
        Download(tmp_path, listing, FileSelection(BIG, (huge,), "", single=True)).run()
    assert hub.gets(BIG) == []


@pytest.mark.parametrize(
    "path", ["../evil.gguf", "/etc/evil.gguf", "a/../../evil.gguf", "a\\..\\evil", "C:evil", "a\0b"]
)
def test_a_listing_that_leads_out_of_its_folder_is_refused(hub: Hub, path: str) -> None:
    hub.extra.append({"rfilename": path, "size": 4})
    assert "would lie outside its folder" in _refusal(hub)


def test_a_listing_without_sizes_or_a_login_page_is_an_error(hub: Hub) -> None:
    hub.extra.append({"rfilename": "x.gguf"})
    assert "did not answer like a hub" in _refusal(hub)
    hub.html = True
    assert "login page" in _refusal(hub)


def test_missing_repositories_and_revisions_are_sentences(hub: Hub) -> None:
    assert _refusal(hub, "maker/other").startswith(f"There is no model maker/other on {hub.address}, or it is private.")
    assert "maker/tiny has no revision 'v2'" in _refusal(hub, "maker/tiny:v2")
    assert parse_repository_id("maker/tiny:main").name == "tiny"
    assert parse_repository_id("maker/tiny:4.0bpw").name == "tiny-4.0bpw"


@pytest.mark.parametrize(
    "name",
    ["", "tiny", "a/b/c", "../tiny", "maker/..", "maker/ti ny", "maker/tiny:", "maker/tiny:../x", "m/t:a\nb", "-a/b"],
)
def test_invalid_names_are_refused_without_a_request(name: str) -> None:
    with pytest.raises(DownloadError, match="names no repository|cannot be a revision"):
        parse_repository_id(name)


def test_the_token_goes_to_the_hub_and_to_no_other_host(
    gguf: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with hub_of({BIG: gguf}) as store, hub_of({BIG: gguf}, token="hf_secret") as hub:
        hub.redirect = store.address
        assert _download(hub, tmp_path).run().read_bytes() == gguf
        assert {request[3] for request in hub.seen} == {"Bearer hf_secret"}
        assert [request[3] for request in store.seen] == [""]


def test_a_wrong_token_and_a_gated_model_have_a_next_step(
    gguf: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with hub_of({BIG: gguf}, token="hf_right") as hub:
        assert "does not accept the token" in _refusal(hub)
    with hub_of({BIG: gguf}) as hub:
        hub.busy.append(403)
        with pytest.raises(DownloadError, match="does not allow you to read"):
            _download(hub, tmp_path).run()


def test_a_mirror_that_lacks_a_file_is_named(hub: Hub, tmp_path: Path) -> None:
    job = _download(hub, tmp_path)
    del hub.files[BIG]
    with pytest.raises(DownloadError, match="lists a file of maker/tiny but does not have it"):
        job.run()


def test_the_speed_is_that_of_the_last_seconds_without_resumed_bytes(hub: Hub, tmp_path: Path, gguf: bytes) -> None:
    hub.breaks[BIG] = [100_000] + [0] * 6
    with pytest.raises(DownloadError):
        _download(hub, tmp_path).run()
    hub.breaks.clear()
    clock = iter(range(10**6))
    steps: list[DownloadProgress] = []
    _download(hub, tmp_path, report=steps.append, clock=lambda: float(next(clock))).run()
    assert (steps[0].done, steps[0].speed, steps[0].seconds_left) == (100_000, 0, None)
    assert steps[1].speed == steps[1].done - 100_000
    assert steps[-1].seconds_left == 0


def test_resumed_bytes_do_not_count_as_speed(hub: Hub, tmp_path: Path) -> None:
    hub.spoilt.add(BIG)
    with pytest.raises(DownloadError):
        _download(hub, tmp_path, "*").run()
    hub.spoilt.clear()
    hub.files = {"A.md": b"new", **hub.files}
    clock = iter(range(10**6))
    steps: list[DownloadProgress] = []
    _download(hub, tmp_path, "*", report=steps.append, clock=lambda: float(next(clock))).run()
    assert [step.speed for step in steps if step.file == "README.md"] == [0]


def test_quantizations_are_recognized_by_name() -> None:
    names = {
        "Llama-3-8B.Q4_K_M": "Q4_K_M",
        "model-q5_0": "Q5_0",
        "x-IQ2_XXS": "IQ2_XXS",
        "x-UD-Q4_K_XL": "UD-Q4_K_XL",
        "BF16/x-BF16": "BF16",
        "x.f16": "F16",
        "Qwen3-0.6B": "",
    }
    assert {name: quantization_in_name(name) for name in names} == names


def test_quant_selects_all_shards_and_its_error_names_the_available_ones(tmp_path: Path) -> None:
    shards = {f"Q4_K_M/tiny-Q4_K_M-0000{number}-of-00002.gguf": b"x" for number in (1, 2)}
    with hub_of({**shards, "tiny-Q8_0.gguf": b"xyz", "mmproj-F16.gguf": b"x"}) as hub:
        listing = list_files(parse_repository_id(hub.repository), hub.address)
        choice = select_files(listing, inspect_machine(), quant="q4_k_m")
        assert (choice.name, [file.path for file in choice.files]) == ("tiny-Q4_K_M", list(shards))
        with pytest.raises(DownloadError, match="no quantization Q2_K. There are: Q4_K_M, Q8_0"):
            select_files(listing, inspect_machine(), quant="Q2_K")
        with pytest.raises(DownloadError, match="No file of maker/tiny matches"):
            select_files(listing, inspect_machine(), "*.bin")
        path = _download(hub, tmp_path, quant="Q4_K_M").run()
    assert sorted(entry.name for entry in path.iterdir()) == sorted(name.rpartition("/")[2] for name in shards)


def test_a_model_comes_with_its_projector_for_images(tmp_path: Path) -> None:
    files = {"bird-Q8_0.gguf": b"xyz", "mmproj-F32.gguf": b"4", "mmproj-F16.gguf": b"2", "other/mmproj-F16.gguf": b"1"}
    with hub_of(files) as hub:
        listing = list_files(parse_repository_id(hub.repository), hub.address)
        choice = select_files(listing, inspect_machine(), quant="Q8_0")
        assert choice.reason == "As requested. With its projector for images."
        path = _download(hub, tmp_path, quant="Q8_0").run()
    assert path.name == "bird-Q8_0"
    assert {file.name: file.read_bytes() for file in path.iterdir()} == {
        "bird-Q8_0.gguf": b"xyz",
        "mmproj-F16.gguf": b"2",
    }


def test_only_the_folder_that_all_files_share_is_left_out(tmp_path: Path) -> None:
    with hub_of({"v1/a/x.json": b"1", "v1/b/x.json": b"2", "v2/x.json": b"3", "x.json": b"4"}) as hub:
        path = _download(hub, tmp_path, "v1/*").run()
        every = select_files(list_files(parse_repository_id(hub.repository), hub.address), inspect_machine(), "*.json")
    assert {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*.json")} == {
        str(Path("a/x.json")): b"1",
        str(Path("b/x.json")): b"2",
    }
    assert [every.place(file) for file in every.files] == ["v1/a/x.json", "v1/b/x.json", "v2/x.json", "x.json"]


def test_the_largest_quantization_that_fits_is_suggested() -> None:
    sizes = {"Q2_K": 2, "Q4_K_M": 4, "Q8_0": 8, "F16": 16}
    with hub_of({}) as hub:
        hub.extra.extend({"rfilename": f"x-{name}.gguf", "size": size << 30} for name, size in sizes.items())
        listing = list_files(parse_repository_id(hub.repository), hub.address)
    for free, expected in ((5, "x-Q4_K_M"), (64, "x-Q8_0")):
        best = suggest_variant(gguf_variants(listing, Machine("linux", "x86_64", 2, free << 30, free << 30)))
        assert best is not None
        assert best.name == expected
    with pytest.raises(DownloadError, match="No quantization of maker/tiny fits this machine"):
        select_files(listing, Machine("linux", "x86_64", 2, 1 << 30, 1 << 30))


def _environment(hub: Hub, home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING_FACE"))}
    return {**kept, "HF_ENDPOINT": hub.address, "HF_HOME": str(home), **more}


def _command(tmp_path: Path, *arguments: str) -> list[str]:
    flags = ["--no-venv", "--models", str(tmp_path / "models"), "--user-data", str(tmp_path / "user")]
    return [sys.executable, "webui.py", "download", *arguments, *flags]


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot send Ctrl+C to another one there")
def test_ctrl_c_leaves_a_download_that_the_same_command_finishes(
    hub: Hub, tmp_path: Path, root: Path, gguf: bytes
) -> None:
    environment = _environment(hub, tmp_path)
    hub.stalls[BIG] = 120_000
    running = subprocess.Popen(
        _command(tmp_path, hub.repository),
        cwd=root,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background ignores Ctrl+C, and child processes would inherit this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert hub.stalled.wait(60)
        part = tmp_path / "models" / f".download-{BIG}" / "parts"
        while not any(path.stat().st_size == 120_000 for path in part.iterdir()):
            assert running.poll() is None
        running.send_signal(signal.SIGINT)
        words = running.communicate(timeout=30)[1]
    finally:
        running.kill()
        running.wait()
    assert running.returncode == 130
    assert "Stopped. Run the same command again" in words
    assert ModelLibrary(tmp_path / "models").names() == []
    answer = subprocess.run(
        _command(tmp_path, hub.repository), cwd=root, env=environment, capture_output=True, text=True
    )
    assert (answer.returncode, answer.stdout.split()[0]) == (0, BIG), answer.stderr
    assert hub.gets(BIG) == ["", "bytes=120000-"]
    assert (tmp_path / "models" / BIG).read_bytes() == gguf


def test_the_command_reports_the_error_and_writes_no_model(hub: Hub, tmp_path: Path, root: Path) -> None:
    hub.gated = True
    answer = subprocess.run(
        _command(tmp_path, hub.repository), cwd=root, env=_environment(hub, tmp_path), capture_output=True, text=True
    )
    assert answer.returncode == 1
    assert "maker/tiny is gated" in answer.stderr
    assert "Traceback" not in answer.stderr
    hub.address = "http://127.0.0.1:9"  # the discard port, where nothing listens
    answer = subprocess.run(
        _command(tmp_path, hub.repository), cwd=root, env=_environment(hub, tmp_path), capture_output=True, text=True
    )
    assert answer.returncode == 1
    assert "http://127.0.0.1:9 cannot be reached" in answer.stderr
    assert ModelLibrary(tmp_path / "models").names() == []


def test_a_disk_that_fills_up_is_a_sentence_and_the_rest_is_kept(hub: Hub, tmp_path: Path, root: Path) -> None:
    resource = pytest.importorskip("resource")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    answer = subprocess.run(
        _command(tmp_path, hub.repository),
        cwd=root,
        env=_environment(hub, tmp_path, PYTHONDONTWRITEBYTECODE="1"),
        capture_output=True,
        text=True,
        preexec_fn=limit,
    )
    assert answer.returncode == 1
    assert "could not be written" in answer.stderr
    (part,) = (tmp_path / "models" / f".download-{BIG}" / "parts").iterdir()
    assert part.stat().st_size == 200_000


def test_list_shows_sizes_and_what_fits_and_downloads_nothing(hub: Hub, tmp_path: Path, root: Path) -> None:
    answer = subprocess.run(
        _command(tmp_path, hub.repository, "--list"),
        cwd=root,
        env=_environment(hub, tmp_path),
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    assert f"*     304 KB  {BIG}" in answer.stdout
    assert "Q8_0               304 KB  fits" in answer.stdout
    assert hub.gets(BIG) == []
    assert not (tmp_path / "models").exists()
    assert [path for _, path, *_ in hub.seen] == ["/api/models/maker/tiny"]  # no telemetry


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:9", "Downloads cannot use a SOCKS proxy"),
        ("HTTPS_PROXY", "nonsense:abc:1", "cannot be used"),
        ("HTTP_PROXY", "ftp://127.0.0.1", "cannot be used"),
        ("SSL_CERT_FILE", "/nowhere/ca.pem", "cannot be used"),
    ],
)
def test_unusable_network_settings_are_a_sentence(
    hub: Hub, tmp_path: Path, root: Path, name: str, value: str, said: str
) -> None:
    environment = _environment(hub, tmp_path, **{name: value})
    answer = subprocess.run(
        _command(tmp_path, hub.repository), cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 1 and "Traceback" not in answer.stderr
    assert "The proxy or certificate settings in the environment cannot be used" in answer.stderr
    assert said in answer.stderr and "Then start Paddock again" in answer.stderr
