"""The process that turns texts into vectors and keeps them: what is imported here never loads in the host.

WordLlama's static embeddings (Miller, 2024) are in its package. USearch keeps the vectors of one knowledge in one file.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from modules.system.json_process import serve_json

_MAX_MEMORY = 8 << 30


class _Vectors:
    """The model, and the indexes that were used, by their files."""

    def __init__(self) -> None:
        self._model: Any = None
        self._indexes: dict[str, Any] = {}
        # Those whose file was there: if it is gone, the host has removed it.
        self._stored: set[str] = set()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what `request["do"]` names. Return {"error"} if that fails."""
        packages = str(request["packages"])
        if packages not in sys.path:
            sys.path.append(packages)
        try:
            return dict(getattr(self, f"do_{request['do']}")(request))
        except Exception as error:  # libraries raise whatever a damaged file leads them to
            return {"error": f"{type(error).__name__}: {error}"[:500]}

    def do_embed(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return a vector of length 1 for each of `texts`."""
        return {"vectors": self._embed(request["texts"]).tolist()}

    def do_size(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return how many vectors `file` has."""
        index = self._open(request["file"])
        return {"size": 0 if index is None else len(index)}

    def do_add(self, request: dict[str, Any]) -> dict[str, Any]:
        """Add `vectors`, or those of `texts`, under `keys`. `save` writes them."""
        import numpy
        from usearch.index import Index  # type: ignore[import-not-found, unused-ignore]

        vectors = request.get("vectors")
        rows = numpy.asarray(vectors, dtype="float32") if vectors else self._embed(request["texts"])
        keys = numpy.asarray(request["keys"], dtype="uint64")
        index = self._open(request["file"])
        if index is None or index.ndim != rows.shape[1]:
            index = self._indexes[request["file"]] = Index(ndim=rows.shape[1], metric="cos", dtype="f16")
        index.remove(keys)
        index.add(keys, rows)
        return {"size": len(index)}

    def do_keep(self, request: dict[str, Any]) -> dict[str, Any]:
        """Remove all vectors but those of `keys`."""
        import numpy

        index = self._open(request["file"])
        if index is not None and len(index):
            stored = numpy.asarray(index.keys, dtype="uint64")
            index.remove(numpy.setdiff1d(stored, numpy.asarray(request["keys"], dtype="uint64")))
        return {}

    def do_save(self, request: dict[str, Any]) -> dict[str, Any]:
        """Write the vectors to `file`, whole or not at all."""
        index = self._open(request["file"])
        if index is not None:
            target = Path(request["file"])
            target.parent.mkdir(parents=True, exist_ok=True)
            fresh = target.with_name(f".{target.name}.new")
            index.save(str(fresh))
            with fresh.open("rb") as file:
                os.fsync(file.fileno())
            fresh.replace(target)
            self._stored.add(request["file"])
        return {}

    def do_search(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the `keys` nearest to `vector`, or to that of `text`, with their cosine `similarities`."""
        import numpy

        index = self._open(request["file"])
        if index is None or not len(index):
            return {"keys": [], "similarities": []}
        vector = request.get("vector")
        row = numpy.asarray(vector, dtype="float32") if vector else self._embed([request["text"]])[0]
        if index.ndim != row.shape[0]:
            return {"keys": [], "similarities": []}
        found = index.search(row, min(int(request["most"]), len(index)))
        return {"keys": found.keys.tolist(), "similarities": (1 - found.distances).tolist()}

    def _open(self, file: str) -> Any:
        """Return the index of a file, None if there is none. A damaged one is removed: it can be made again."""
        if file in self._stored and not Path(file).exists():
            self._stored.discard(file)
            self._indexes.pop(file, None)
        if file not in self._indexes:
            if not Path(file).exists():
                return None
            from usearch.index import Index

            try:
                self._indexes[file] = Index.restore(file)
            except Exception:
                self._indexes[file] = None
            if self._indexes[file] is None:
                del self._indexes[file]
                Path(file).unlink()
                return None
            self._stored.add(file)
        return self._indexes[file]

    def _embed(self, texts: list[str]) -> Any:
        if self._model is None:
            import wordllama  # type: ignore[import-not-found, unused-ignore]

            # Its own search for the tokenizer misses the folder in the package.
            folder = Path(wordllama.__file__).parent
            self._model = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)
        return self._model.embed(texts, norm=True)


def serve() -> None:
    """Run the process's loop."""
    serve_json(_Vectors().answer, _MAX_MEMORY)
