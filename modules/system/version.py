"""The version of Paddock. pyproject.toml names the same one."""

from __future__ import annotations

VERSION = "0.1.0"
