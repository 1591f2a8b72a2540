"""Write what flows into each matrix of a GGUF file: `python imatrix_collector_maker.py FILE TOKENS RESULT`.

Run it with the Python of xllamacpp's environment. TOKENS is a JSON list; RESULT becomes a JSON file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from loaders.xllamacpp.library import library_path
from modules.worker.llama.imatrix_collector import ActivationSums
from modules.worker.llama.llama_abi import load_library
from modules.worker.llama.scoring import Scorer

if __name__ == "__main__":
    file, tokens, result = sys.argv[1:]
    sums = ActivationSums([library_path()], 1)
    scorer = Scorer(load_library(library_path()), Path(file), on_node=sums)
    scorer.read(json.loads(tokens))
    assert sums.error is None, sums.error
    found = {"sums": {name: list(row) for name, row in sums.sums.items()}, "counts": sums.counts}
    Path(result).write_text(json.dumps(found), encoding="utf-8")
