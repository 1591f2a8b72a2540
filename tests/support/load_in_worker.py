"""Load each folder as a worker does: `python -m tests.support.load_in_worker LOADER FOLDER...`.

Run it with the Python of the loader's environment. It prints a line of JSON for each folder: {"folder", "error"}. The
error is "" if the model was loaded.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def main(loader: str, folders: list[str]) -> None:
    """Start as a worker does, then call Engine.load for one folder after another."""
    from modules.protocol.schema import build
    from modules.worker.code_guard import enter_empty_folder, forbid_model_code, set_model_code_cache

    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    own = enter_empty_folder(ROOT, ("modules", "loaders"))
    if os.environ.get("PADDOCK_TRUST_REMOTE_CODE") == "1":
        set_model_code_cache(own)
    else:
        forbid_model_code(own)
    spec = importlib.import_module(f"loaders.{loader}.spec").SPEC
    engine = importlib.import_module(f"loaders.{loader}.worker").Engine
    for folder in folders:
        error = ""
        try:
            engine().load(Path(folder), build(spec.settings, {}), lambda text, fraction: None)
        except BaseException as failure:
            error = f"{type(failure).__name__}: {failure}"
        out.write(json.dumps({"folder": Path(folder).name, "error": error}) + "\n")
        out.flush()
    out.close()
    os.chdir(own.parent)
    shutil.rmtree(own, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
