"""Vectors and scores of the models of tiny_bert.py, computed directly with Transformers.

`python bert_reference.py REQUESTS` in the environment of the loader; REQUESTS is JSON: {"folder": ..., "texts": [...],
"pooling": "mean" | "cls" | "lasttoken"} and {"folder": ..., "query": ..., "documents": [...]} in a list. It prints a
JSON list of the answers.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def vectors(folder: str, texts: list[str], pooling: str) -> list[list[float]]:
    """Return the vector of each text, of length 1."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    found = []
    for text in texts:
        with torch.no_grad():
            hidden = model.eval()(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        vector = {"mean": hidden.mean(0), "cls": hidden[0], "lasttoken": hidden[-1]}[pooling]
        found.append((vector / vector.norm()).tolist())
    return found


def scores(folder: str, query: str, documents: list[str]) -> list[float]:
    """Return the probability of each pair."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        return [float(model(**tokenizer(query, one, return_tensors="pt")).logits.sigmoid()) for one in documents]


def main(text: str) -> None:
    """Print the answers to requests."""
    requests: list[dict[str, Any]] = json.loads(text)
    print(json.dumps([vectors(**one) if "texts" in one else scores(**one) for one in requests]))


if __name__ == "__main__":
    main(*sys.argv[1:])
