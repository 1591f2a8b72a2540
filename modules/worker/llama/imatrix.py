"""Computes the importance matrix of a GGUF file on calibration text, with llama.cpp."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from modules.families.calibration import CalibrationSettings
from modules.protocol.errors import ModelError
from modules.worker.calibration_samples import cut_samples, few_samples_note
from modules.worker.chat_template import CHATML
from modules.worker.engine import Report
from modules.worker.gguf.imatrix_file import Importance, average
from modules.worker.llama.gguf_keys import read_keys
from modules.worker.llama.imatrix_collector import ActivationSums
from modules.worker.llama.prompt_tokens import LlamaTokenizer
from modules.worker.llama.scoring import Scorer


class ImatrixComputer:
    """`lib`: llama.cpp's functions, as Scorer takes them; `ggml`: paths of the libraries that hold ggml."""

    def __init__(self, lib: ModuleType | ctypes.CDLL, ggml: Sequence[str], threads: int) -> None:
        self._lib = lib
        self._ggml = ggml
        self._threads = threads

    def compute(
        self,
        file: Path,
        beside: Path,
        rows: Sequence[Mapping[str, object]],
        source: str,
        settings: CalibrationSettings,
        report: Report,
    ) -> tuple[Importance, list[str]]:
        """Return the matrix of the model in `file`, and notes. `beside`: the folder of the model's own tokenizer.

        `rows`: the calibration text; `source`: where it came from. Raises PaddockError.
        """
        sums = ActivationSums(self._ggml, self._threads)
        report("Loading the model for its importance matrix", 0.0)
        scorer = Scorer(self._lib, file, on_node=sums)
        try:
            samples = self._samples(scorer, file, beside, rows, settings)
            for number, sample in enumerate(samples):
                report(f"Computing the importance matrix: sample {number + 1} of {len(samples)}", number / len(samples))
                scorer.read(sample)
                if sums.error:
                    raise sums.error
        finally:
            scorer.close()
        if not sums.sums:
            raise ModelError(
                "llama.cpp showed no matrix of this model while it computed, so there is no importance matrix. Choose "
                "a type that needs none, such as Q4_K_M, with imatrix=none."
            )
        values = {name: average(total, sums.counts[name]) for name, total in sums.sums.items()}
        unused = [name for name, counts in sums.counts.items() if not all(counts)]
        notes = few_samples_note(samples, settings)
        if unused:
            notes.append(
                f"Some experts of {len(unused)} tensors, such as {unused[0]}, saw no calibration text, so all their "
                "columns count the same. Use more samples or other text."
            )
        return Importance(values, source, len(samples)), notes

    def _samples(
        self,
        scorer: Scorer,
        file: Path,
        beside: Path,
        rows: Sequence[Mapping[str, object]],
        settings: CalibrationSettings,
    ) -> list[list[int]]:
        lib, vocabulary = self._lib, scorer.vocabulary
        keys = read_keys(file)

        def tokenize(text: str, add_special: bool, parse_special: bool) -> list[int]:
            raw = text.encode("utf-8", "replace")
            room = (ctypes.c_int32 * (len(raw) + 16))()
            count = lib.llama_tokenize(vocabulary, raw, len(raw), room, len(room), add_special, parse_special)
            return list(room[: max(0, count)])

        def named(token: int) -> str:
            text = lib.llama_vocab_get_text(vocabulary, token) if token >= 0 else b""
            return bytes(text or b"").decode("utf-8", "replace")

        tokenizer = LlamaTokenizer(tokenize, beside / file.name, keys)
        return cut_samples(
            rows,
            settings,
            str(keys.values.get("tokenizer.chat_template") or CHATML),
            named(lib.llama_vocab_bos(vocabulary)),
            named(lib.llama_vocab_eos(vocabulary)),
            lambda text: tokenizer.prompt(text, True),
        )
