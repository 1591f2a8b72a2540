"""A remote model's file names an environment variable: it is sent to that server alone, and only after a yes."""

from __future__ import annotations
