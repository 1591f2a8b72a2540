"""Self-signed certificates, made with the program openssl."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def write_certificate(folder: Path, *more: str) -> tuple[Path, Path]:
    """Write a certificate for 127.0.0.1 and its private key, and return their paths. Skip the test without openssl.

    `more`: further arguments of `openssl req`, in place of an unencrypted key.
    """
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key = folder / "cert.pem", folder / "key.pem"
    command = [program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2"]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(key), "-out", str(certificate), *(more or ("-nodes",))]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key
