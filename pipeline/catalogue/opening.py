"""Opens a file of a catalogue: unpacks its bytes within a limit and finds its format by the content, not by its name."""

from __future__ import annotations

import enum
import gzip
import io
import zipfile
import zlib
from pathlib import Path
from typing import Final, NamedTuple

from domain.errors import ConfigurationError

#: Largest file, and largest content of a packed one (bytes). A catalogue of all agencies with names has some 50 MB.
MAX_FILE_BYTES: Final = 128 << 20
MAX_UNPACKED_BYTES: Final = 256 << 20
#: Most rows of a file. All agencies together offer some 120,000 services.
MAX_ROWS: Final = 200_000
_UTF8_BOM: Final = b"\xef\xbb\xbf"
_BLOCK: Final = 1 << 20
_GIVE: Final = "Give a catalogue as CSV or JSON, plain or packed with gzip, or as an Excel workbook (.xlsx)"
_UTF8: Final = "Save it as UTF-8 (in Excel: CSV UTF-8)."
#: Where a protected workbook names its content.
_ENCRYPTED: Final = "EncryptedPackage".encode("utf-16-le")

#: First bytes of what is not a catalogue, its name, and what to do.
_OTHERS: Final = (
    (b"\x28\xb5\x2f\xfd", "is packed with zstd", "Unpack it, or pack it with gzip."),
    (b"\xfd7zXZ\x00", "is packed with xz", "Unpack it, or pack it with gzip."),
    (b"BZh", "is packed with bzip2", "Unpack it, or pack it with gzip."),
    (b"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive", "Unpack it and give the file in it."),
    (b"Rar!", "is a RAR archive", "Unpack it and give the file in it."),
    (b"PAR1", "is a Parquet file", "Write it as CSV."),
    (b"%PDF", "is a PDF", f"{_GIVE}."),
    (b"\xff\xfe", "is not UTF-8 but UTF-16", _UTF8),
    (b"\xfe\xff", "is not UTF-8 but UTF-16", _UTF8),
)


class Format(enum.StrEnum):
    """The format of a catalogue file."""

    CSV = "csv"
    JSON = "json"
    XLSX = "xlsx"


class Opened(NamedTuple):
    """The unpacked content of a file and its format. The byte order mark of a text is removed."""

    content: bytes
    format: Format


def opened(path: Path) -> Opened:
    """Read and unpack a whole file.

    Raises:
        ConfigurationError: the file does not exist, is too large, is damaged, or has a format or packing that is not supported.
    """
    name = str(path)
    content = _content(path)
    if content.startswith(b"\x1f\x8b"):
        content = _gunzipped(content, name)
    _refuse_other_things(content, name)
    if content.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return Opened(content, _zip_format(content, name))
    content = content.removeprefix(_UTF8_BOM)
    if not content.strip():
        raise ConfigurationError(f"{name} is empty.", remedy=f"{_GIVE}.")
    if b"\0" in content:
        raise ConfigurationError(f"{name} is not text: it holds a NUL byte.", remedy=f"{_GIVE}.")
    return Opened(content, Format.JSON if content.lstrip()[:1] in (b"[", b"{") else Format.CSV)


def text_of(content: bytes, name: str) -> str:
    """The text of a file's content.

    Raises:
        ConfigurationError: the content is not UTF-8; the error names the line.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{name}, line {line}, is not UTF-8.", remedy=_UTF8) from error


def _content(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise ConfigurationError(f"{path} is a folder.", remedy="Name the file of the catalogue.")
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}.", remedy="Correct the name.") from error
    if len(content) > MAX_FILE_BYTES:
        raise ConfigurationError(
            f"{path} is larger than {MAX_FILE_BYTES >> 20} MiB.", remedy="Divide it: a file need not have every agency."
        )
    return content


def _gunzipped(content: bytes, name: str) -> bytes:
    unpacked = bytearray()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            while block := file.read(_BLOCK):
                unpacked += block
                if len(unpacked) > MAX_UNPACKED_BYTES:
                    raise ConfigurationError(
                        f"{name} unpacks to more than {MAX_UNPACKED_BYTES >> 20} MiB.",
                        remedy="Divide it: a file need not have every agency.",
                    )
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigurationError(f"{name} is packed with gzip and damaged or cut off.", remedy="Pack it again.") from error
    return bytes(unpacked)


def _refuse_other_things(content: bytes, name: str) -> None:
    if content.startswith(b"\x1f\x8b"):
        raise ConfigurationError(f"{name} is packed with gzip twice.", remedy="Unpack it once.")
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        if _ENCRYPTED in content:
            raise ConfigurationError(f"{name} is protected by a password.", remedy="Save it without a password.")
        raise ConfigurationError(f"{name} is an old Excel workbook (.xls).", remedy="Save it as .xlsx or as CSV UTF-8.")
    for magic, what, remedy in _OTHERS:
        if content.startswith(magic):
            raise ConfigurationError(f"{name} {what}.", remedy=remedy)


def _zip_format(content: bytes, name: str) -> Format:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ConfigurationError(f"{name} is a damaged workbook or ZIP archive.", remedy="Save it again.") from error
    if "xl/workbook.xml" in members:
        return Format.XLSX
    if "xl/workbook.bin" in members:
        raise ConfigurationError(f"{name} is a binary workbook (.xlsb).", remedy="Save it as .xlsx or as CSV UTF-8.")
    if "mimetype" in members:
        raise ConfigurationError(f"{name} is an OpenDocument file.", remedy="Save the sheet as .xlsx or as CSV UTF-8.")
    raise ConfigurationError(f"{name} is a ZIP archive.", remedy="Unpack it and give the file in it.")
