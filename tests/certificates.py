"""Certificates of tests: an authority made with openssl, and certificates of 127.0.0.1 that it signs."""

from __future__ import annotations

import subprocess
from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Authority:
    """An authority whose certificate is in ``file``."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file, self._key = folder / "ca.crt", folder / "ca.key"
        self._run("req", "-x509", *_KEY, "-keyout", self._key, "-out", self.file, "-days", "30", "-subj", "/CN=authority")

    def certify(self, certificate: Path, key: Path, *, name: str = "IP:127.0.0.1") -> None:
        """Write a certificate of ``name`` and its key, replacing earlier ones."""
        issuer = ("-CA", self.file, "-CAkey", self._key, "-days", "30", "-subj", "/CN=server")
        named = ("-addext", f"subjectAltName={name}")
        self._run("req", "-x509", *_KEY, "-keyout", key, "-out", certificate, *issuer, *named)

    def _run(self, *arguments: object) -> None:
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=30)
