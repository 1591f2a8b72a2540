"""The error for files that are cut short, and sizes as text."""

from __future__ import annotations

from modules.protocol.errors import ModelError


class TruncatedFileError(ModelError):
    """A file that is shorter than its header says: its download or copy was interrupted, or is still running."""


def truncated_file_error(name: str, needed: int, size: int) -> TruncatedFileError:
    """Return the error for a file of `size` bytes that should have `needed`."""
    return TruncatedFileError(
        f"The file {name} is cut short: it should have {needed} bytes and has {size}. Download it again."
    )


def format_size(size: float) -> str:
    """Return a size in bytes as text: 1234567 -> "1.2 MB" (powers of 1000, as model pages use)."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if abs(size) < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
