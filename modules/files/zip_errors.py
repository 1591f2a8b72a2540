"""What a damaged ZIP archive raises. Each way to compress has its own errors, and zipfile passes them on."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module

# The errors of ways to compress that some versions and builds of Python lack.
_OPTIONAL = (("lzma", "LZMAError"), ("compression.zstd", "ZstdError"))


def _optional_errors() -> Iterator[type[Exception]]:
    for module, name in _OPTIONAL:
        with suppress(ImportError):
            yield getattr(import_module(module), name)


# To be caught where an archive is opened and where its entries are read. A password is a RuntimeError, an unknown way
# to compress a NotImplementedError, an entry without a name an IndexError, and a missing one a KeyError.
ZIP_ERRORS: tuple[type[Exception], ...] = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    LookupError,
    *_optional_errors(),
)
