"""Texts that are not plain files: Parquet and compressed files, data sets of the hub, and past chats."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from modules.app import App
from modules.jobs.job_spec import JobError
from modules.jobs.texts import TextRows, TextSources, calibration_rows
from modules.library.download_staging import DownloadError
from modules.protocol.errors import PaddockError
from tests.support.hub import Hub, hub_of
from tests.support.server import serving
from tests.support.text_files import write_parquet_rows

CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Grüße"}]
WIKI = [
    "",
    " = Robert = \n",
    "",
    " Robert acts . \n",
    "",
    " = = Career = = \n",
    " He acted . \n",
    " = Anna = \n",
    " Anna \n",
]
# At the hub: the two parts of WikiText-2, and the two of C4.
TRAIN, TEST = (f"wikitext-2-raw-v1/{part}-00000-of-00001.parquet" for part in ("train", "test"))
C4 = [f"en/c4-validation.0000{shard}-of-00008.json.gz" for shard in (0, 1)]


def _parquet(folder: Path, rows: list[dict[str, object]]) -> Path:
    return write_parquet_rows(folder / "rows.parquet", rows)


def _c4(*texts: str) -> bytes:
    rows = [{"text": text, "timestamp": "2019", "url": "x"} for text in texts]
    return gzip.compress("\n".join(map(json.dumps, rows)).encode())


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    wiki = _parquet(tmp_path, [{"text": text} for text in WIKI]).read_bytes()
    with hub_of({TRAIN: wiki, TEST: wiki, C4[0]: _c4("one", "two"), C4[1]: _c4("three", "four")}) as hub:
        yield hub


@pytest.fixture
def sources(tmp_path: Path, hub: Hub) -> TextSources:
    return TextSources(tmp_path / "datasets", lambda name: [], hub.address)


def _texts(found: TextRows) -> list[str]:
    return [row["text"] for row in found.rows]


def test_parquet_gives_texts_and_names_rows_that_have_none(tmp_path: Path) -> None:
    found = calibration_rows(str(_parquet(tmp_path, [{"id": 1, "text": "one"}, {"text": None}, {"text": "ä"}])))
    assert _texts(found) == ["one", "ä"]
    assert found.broken == ["rows.parquet row 2: its text or its messages are empty or not of a known form"]
    assert found.notes()[0].startswith("1 row was passed over in ")


@pytest.mark.parametrize("key", ["messages", "conversations"])
def test_parquet_gives_chats(tmp_path: Path, key: str) -> None:
    assert calibration_rows(str(_parquet(tmp_path, [{key: CHAT, "n": 1}]))).rows == [{"messages": CHAT}]


def test_a_content_column_is_text(tmp_path: Path) -> None:
    assert _texts(calibration_rows(str(_parquet(tmp_path, [{"content": "a"}])))) == ["a"]


def test_the_columns_are_named_where_none_holds_text(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="Its columns are: body, id"):
        calibration_rows(str(_parquet(tmp_path, [{"body": "a", "id": 1}])))
    lines = tmp_path / "rows.jsonl"
    lines.write_text('{"body": "a", "id": 1}\n')
    with pytest.raises(JobError, match="its columns are: body, id"):
        calibration_rows(str(lines))


@pytest.mark.parametrize("name", ["rows.jsonl.gz", "rows.json.gz", "rows.json"])
def test_lines_of_json_are_read_compressed_or_not(tmp_path: Path, name: str) -> None:
    data = b'{"text": "a"}\nbroken\n{"text": "b"}\n'
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    found = calibration_rows(str(tmp_path))  # in a folder
    assert _texts(found) == ["a", "b"]
    assert [line.split(":")[0] for line in found.broken] == [f"{name} line 2"]


@pytest.mark.parametrize("name", ["x.parquet", "x.jsonl.gz"])
def test_a_damaged_file_is_a_sentence(tmp_path: Path, name: str) -> None:
    good = _parquet(tmp_path, [{"text": "a"}]).read_bytes() if name == "x.parquet" else _c4("a" * 500)
    (tmp_path / name).write_bytes(good[: len(good) // 2])
    with pytest.raises(JobError, match=r"x\..* cannot be read"):
        calibration_rows(str(tmp_path / name))


def test_a_compressed_file_that_grows_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modules.jobs.text_files.LARGEST", 1 << 20)
    (tmp_path / "x.json.gz").write_bytes(gzip.compress(b" " * (2 << 20)))
    with pytest.raises(JobError, match="more than 1 MB"):
        calibration_rows(str(tmp_path / "x.json.gz"))


def test_wikitext_is_one_text_to_measure_and_articles_to_calibrate(hub: Hub, sources: TextSources) -> None:
    steps: list[str] = []
    held_out = sources.evaluation("wikitext2", steps.append)
    assert _texts(held_out) == ["\n\n".join(text for text in WIKI if text)]
    assert any("Downloading WikiText-2 (test)" in step for step in steps)
    assert [text.split()[1] for text in _texts(sources.calibration("wikitext2", steps.append))] == ["Robert", "Anna"]
    asked = len(hub.seen)
    assert sources.evaluation("wikitext2", steps.append) == held_out
    assert len(hub.seen) == asked  # it was kept


def test_c4_measures_and_calibrates_with_different_parts(hub: Hub, sources: TextSources) -> None:
    assert _texts(sources.evaluation("c4", lambda step: None)) == ["one two"]
    assert _texts(sources.calibration("c4", lambda step: None)) == ["three", "four"]


def test_a_download_that_was_stopped_goes_on_where_it_ended(hub: Hub, sources: TextSources) -> None:
    class Stopped(Exception):
        pass

    def stop(step: str) -> None:
        if "%" in step:
            raise Stopped

    with pytest.raises(Stopped):
        sources.evaluation("c4", stop)
    assert _texts(sources.evaluation("c4", lambda step: None)) == ["one two"]
    assert sum(method == "HEAD" for method, *_ in hub.seen) == 2


def test_offline_and_a_missing_hub_are_sentences(
    hub: Hub, sources: TextSources, monkeypatch: pytest.MonkeyPatch
) -> None:
    del hub.files[TEST]
    with pytest.raises(DownloadError, match="does not have it"):
        sources.evaluation("wikitext2", lambda step: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadError, match="HF_HUB_OFFLINE is set"):
        sources.evaluation("c4", lambda step: None)


def test_a_past_chat_is_found_by_title_or_id(app: App) -> None:
    chat = app.chats.create()
    first = app.chats.store.add(chat.id, None, "user", "Hi")
    app.chats.store.add(chat.id, first, "assistant", "Grüße")
    app.chats.rename(chat.id, "My Talk")
    texts = app.jobs.resources.texts
    for name in ("my talk", chat.id):
        assert texts.calibration(f"chat:{name}", lambda step: None).rows == [{"messages": CHAT}]
    with pytest.raises(PaddockError, match="There is no chat called 'other'. The latest chats are: My Talk"):
        texts.check("chat:other")
    app.chats.rename(app.chats.create().id, "my talk")
    with pytest.raises(PaddockError, match="2 chats are called 'My Talk'. Name one by its id"):
        texts.check("chat:My Talk")


def test_reading_a_chat_does_not_end_a_reply_that_is_being_written(app: App) -> None:
    chat = app.chats.create()
    first = app.chats.store.add(chat.id, None, "user", "Hi")
    reply = app.chats.store.add(chat.id, first, "assistant", "Gr", living=True)
    app.jobs.resources.texts.check(f"chat:{chat.id}")
    (message,) = [entry for entry in app.chats.store.path(chat.id) if entry.id == reply]
    assert "cut_off" not in message.meta


def test_without_chats_the_sentence_says_so(app: App) -> None:
    with pytest.raises(PaddockError, match="There are no chats yet"):
        app.jobs.resources.texts.check("chat:x")


def test_the_page_is_told_which_texts_there_are(app: App) -> None:
    chat = app.chats.create()
    with serving(app) as address:
        texts = httpx.get(f"{address}/paddock/workshop/state", timeout=60).json()["texts"]
    assert [entry["source"] for entry in texts] == ["wikitext2", "c4", f"chat:{chat.id}"]
