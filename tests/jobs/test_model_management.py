"""Renaming and discarding models that Paddock knows: what is saved under a name goes along, and models in use stay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modules.app import App
from modules.cli.parser import run
from modules.jobs.job_spec import FINISHED, RUNNING, JobSpec, JobState
from modules.jobs.store import JobStore
from modules.protocol.errors import PaddockError
from tests.support.adapters import write_peft_adapter
from tests.support.models import write_model_folder

ROW: dict[str, Any] = {"perplexity": 2.0, "checks": []}


def _finished(app: App, spec: JobSpec, results: dict[str, Any]) -> str:
    store = JobStore(app.paths.jobs)
    id = store.create(spec)
    store.write_results(id, results)
    store.write_state(id, JobState(FINISHED))
    return id


def test_what_is_saved_for_a_model_goes_along(app: App) -> None:
    app.models.load("tiny", "echo", {"context": 512, "delay": 0.0})
    app.supervisor.unload()
    app.chat_preferences.set_template("tiny", "{{ messages }}")
    app.settings.set("last_model", "tiny")
    assert app.model_management.rename("tiny", "large") == "large"
    loader, settings = app.loaders.choose("large")
    assert (loader.name, settings["context"]) == ("echo", 512)
    assert app.chat_preferences.template("large") == "{{ messages }}"
    assert app.chat_preferences.template("tiny") == ""
    assert app.startup_model() == "large"
    assert "tiny" not in app.paths.model_settings.read_text("utf-8")
    app.models.load("large")
    assert app.supervisor.state.loader == "echo"


def test_jobs_name_a_model_by_its_new_name(app: App) -> None:
    answers = [{"prompt": "Hello!", "answers": {"tiny": "a", "other": "b"}}]
    rows = [{**ROW, "model": "tiny", "against": ""}, {**ROW, "model": "other", "against": "tiny"}]
    compared = _finished(app, JobSpec("compare", "tiny", models=["tiny", "other"]), {"rows": rows, "answers": answers})
    made = _finished(app, JobSpec("quantize", "other", method="echo"), {"model": "tiny", "notes": ["tiny"]})
    app.model_management.rename("tiny", "large")
    job, results = app.jobs.job(compared), app.jobs.results(compared)
    assert (job.spec.model, job.spec.models) == ("large", ["large", "other"])
    assert [(row["model"], row["against"]) for row in results["rows"]] == [("large", ""), ("other", "large")]
    assert results["answers"][0]["answers"] == {"large": "a", "other": "b"}
    assert app.jobs.results(made) == {"model": "large", "notes": ["tiny"]}


def test_an_adapter_is_renamed_where_a_model_uses_it(app: App) -> None:
    write_peft_adapter(app.paths.models / "style")
    app.adapters.save("tiny", {"style": 0.5, "other": 1.0})
    app.model_management.rename("style", "tone")
    assert app.model_settings.adapters("tiny") == {"tone": 0.5, "other": 1.0}


def test_a_model_in_use_is_neither_renamed_nor_discarded(echo: App) -> None:
    models = echo.model_management
    with pytest.raises(PaddockError, match="is loaded"):
        models.rename("tiny", "large")
    with pytest.raises(PaddockError, match="is loaded"):
        models.discard("tiny")
    echo.supervisor.unload()
    id = JobStore(echo.paths.jobs).create(JobSpec("evaluate", "tiny"), RUNNING)
    with pytest.raises(PaddockError, match="Evaluating tiny needs tiny"):
        echo.model_management.rename("tiny", "large")
    JobStore(echo.paths.jobs).write_state(id, JobState(FINISHED))
    assert echo.model_management.rename("tiny", "large") == "large"


def test_a_rename_that_cannot_be_stored_is_undone(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model_folder(app.paths.models / "other")
    app.models.load("tiny", "echo", {"context": 512})
    app.supervisor.unload()

    def full(*_: object) -> None:
        raise PaddockError("The disk is full.")

    monkeypatch.setattr(app.settings, "set", full)
    app.settings.update({"last_model": "tiny"})
    with pytest.raises(PaddockError, match="disk is full"):
        app.model_management.rename("tiny", "large")
    assert app.library.names() == ["other", "tiny"]
    assert app.loaders.choose("tiny")[1]["context"] == 512


def test_the_command_line_lists_renames_discards_and_restores(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model_folder(tmp_path / "models" / "tiny")

    def models(*words: str) -> dict[str, Any]:
        folders = ["--models", str(tmp_path / "models"), "--user-data", str(tmp_path / "data")]
        status = run(root, ["models", *words, "--json", *folders])
        printed = capsys.readouterr()
        return dict(json.loads(printed.out)) if status == 0 else {"error": printed.err}

    assert models("rename", "tiny", "large") == {"model": "large"}
    assert "..' is not a valid name" in models("rename", "large", "..")["error"]
    assert [row["name"] for row in models("list")["models"]] == ["large"]
    trash = models("discard", "large")["trash"]
    assert models() == {"models": [], "trash": [{"id": trash, "name": "large"}]}
    assert "The trash has: large" in models("restore", "tiny")["error"]
    assert models("restore", "large") == {"model": "large"}
