"""lm-eval scores a task through the API, and schemathesis tries the OpenAPI document against the server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modules.app import App
from modules.library.scan import DEMO_MODEL
from tests.conftest import ROOT
from tests.support.clients import client_python, not_asked, run_client
from tests.support.server import serving

LM_EVAL = ["lm-eval[api]==0.4.13", "transformers==5.24.0"]
SCHEMATHESIS = ["schemathesis==4.32.5"]
_TASK = """
task: paddock_local
dataset_path: json
dataset_kwargs:
  data_files: {file}
test_split: train
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
metric_list:
  - metric: acc
"""
# Of each pair one answer is how the demo model was trained to go on, and the other is noise.
_QUESTIONS = (
    {"question": "GGUF is a file", "choices": [" format", " zebra"], "answer": 0},
    {"question": "A preset is a set of sampling", "choices": [" ocean", " parameters"], "answer": 1},
)
# Extensions answer these, and after an unload nothing else can be tried.
_LEFT_OUT = r"/v1/(audio|images|moderations|internal/model/(un)?load)"


def test_lm_eval_scores_a_local_task(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    questions = tmp_path / "questions.jsonl"
    questions.write_text("".join(json.dumps(one) + "\n" for one in _QUESTIONS))
    (tmp_path / "paddock_local.yaml").write_text(_TASK.format(file=questions))
    options = {
        "model": DEMO_MODEL,
        "base_url": f"{address}/v1/completions",
        "tokenizer_backend": "huggingface",
        "tokenizer": ROOT / "models" / "demo",
        "num_concurrent": 1,
    }
    command: list[str | Path] = [
        client_python("lm-eval", LM_EVAL).with_name("lm_eval"),
        "run",
        "--model",
        "local-completions",
    ]
    arguments = ["--model_args", ",".join(f"{name}={value}" for name, value in options.items())]
    arguments += ["--tasks", "paddock_local", "--include_path", str(tmp_path), "--output_path", str(tmp_path / "out")]
    run_client(command, "", *arguments)
    (results,) = (tmp_path / "out").rglob("results_*.json")
    assert json.loads(results.read_text())["results"]["paddock_local"]["acc,none"] == 1.0


def test_no_request_of_schemathesis_gets_an_undocumented_status(app: App) -> None:
    if reason := not_asked():
        pytest.skip(reason)
    # A reply without an end fills this context at once.
    app.models.load("tiny", "echo", {"context": 64})
    program = client_python("schemathesis", SCHEMATHESIS).with_name("st")
    checks = "not_a_server_error,status_code_conformance"
    options = ["--phases", "fuzzing", "--max-examples", "10", "--max-time", "60", "--checks", checks]
    options += ["--exclude-path-regex", _LEFT_OUT, "--request-timeout", "60", "--warnings", "off", "--no-color"]
    with serving(app) as address:
        printed = run_client([program, "run", f"{address}/v1/openapi.json"], "", *options)
    assert "No issues found" in printed
