"""Writes files of text as data sets have them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from arro3.io import infer_json_schema, read_json, write_parquet


def write_parquet_rows(file: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write a Parquet file with the columns of all rows; return it."""
    lines = file.with_suffix(".ndjson")
    lines.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    write_parquet(read_json(lines, infer_json_schema(lines)), file)
    lines.unlink()
    return file
