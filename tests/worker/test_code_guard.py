"""The guard against model code, tested without Transformers: with a package of the same structure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
# As in Transformers: functions that other modules import by name.
_MODULE = """
def get_class_in_module(name, path, *, force_reload=False): return 'ran'
def get_class_from_dynamic_module(reference, place, **more): return 'ran'
def get_cached_module_file(place, module_file, cache_dir=None): return 'ran'
def check_imports(file): return 'ran'
def resolve_trust_remote_code(trust_remote_code, model_name, has_local_code, has_remote_code, error_message=None):
    if has_remote_code and not has_local_code and not trust_remote_code:
        raise ValueError('trust_remote_code')
    return trust_remote_code
"""
_PROGRAM = """
import json, os, shutil, sys
from pathlib import Path
from modules.worker.code_guard import enter_empty_folder, forbid_model_code
own = enter_empty_folder(Path(sys.argv[1]), ("modules", "loaders"))
forbid_model_code(own)
from transformers.auto import get_class_in_module, resolve_trust_remote_code
import transformers.dynamic_module_utils as utils
found = {}
def attempt(name, function, *given):
    try:
        found[name] = str(function(*given))
    except Exception as error:
        found[name] = type(error).__name__
attempt("by name", get_class_in_module, "a", "b")
for name in ("get_class_from_dynamic_module", "get_cached_module_file"):
    attempt(name, getattr(utils, name), "a", "b")
attempt("check_imports", utils.check_imports, "a")
attempt("native", resolve_trust_remote_code, True, "m", True, True)
attempt("remote", resolve_trust_remote_code, True, "m", False, True)
attempt("asks", resolve_trust_remote_code, None, "m", False, True)
attempt("copies", __import__, "transformers_modules.evil")
attempt("models", __import__, "models")
attempt("tests", __import__, "tests")
attempt("ours", __import__, "modules.worker.stop_strings")
attempt("makes a folder", os.makedirs, os.path.join(os.environ["HF_MODULES_CACHE"], "transformers_modules", "m"))
found["here"] = os.listdir()
os.chdir(own.parent)
shutil.rmtree(own)
print(json.dumps(found))
"""


def _run(tmp_path: Path) -> dict[str, Any]:
    package = tmp_path / "transformers"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "dynamic_module_utils.py").write_text(_MODULE)
    (package / "auto.py").write_text(
        "from .dynamic_module_utils import get_class_in_module, resolve_trust_remote_code\n"
    )
    program = f"import sys; sys.path.append({str(tmp_path)!r})\n{_PROGRAM}"
    answer = subprocess.run(
        [sys.executable, "-c", program, str(ROOT)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def test_functions_that_run_model_code_refuse_and_others_work(tmp_path: Path) -> None:
    found = _run(tmp_path)
    refused = ("by name", "get_class_from_dynamic_module", "get_cached_module_file", "check_imports", "copies")
    assert {found[name] for name in refused} == {"ModelCodeRefused"}
    assert found["native"] == "False"
    assert found["remote"] == found["asks"] == "ValueError"
    assert found["models"] == found["tests"] == "ModuleNotFoundError"
    assert found["ours"].startswith("<module 'modules'")
    assert found["makes a folder"] == "NotADirectoryError"
    assert found["here"] == []
