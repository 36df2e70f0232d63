"""A source file is read once: hashed, decompressed and copied in one stream, with what its bytes say of its form.

Everything after works on the private copy, so what is parsed is what was hashed, whatever happens to the file
meanwhile. (A file that is cut short in place while a library has it mapped would kill the process.)
"""

from __future__ import annotations

import codecs
import contextlib
import gzip
import hashlib
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from data_contracts.errors import LandingError
from data_contracts.storage import written

CHUNK = 1 << 20  # bytes
_BOM = codecs.BOM_UTF8
_CONTROLS = bytes([*range(0x00, 0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F, 0x09])
# Control and format characters in UTF-8: U+0080 to U+009F, soft hyphen, zero-width and direction marks, U+FEFF, U+FFFD.
_UNPRINTABLE = re.compile(rb"\xc2[\x80-\x9f\xad]|\xe2\x80[\x8b-\x8f\xaa-\xae]|\xe2\x81[\xa0-\xaf]|\xef\xbb\xbf|\xef\xbf\xbd")


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...


@dataclass(frozen=True)
class PlainCopy:
    """The text of a source file as it lay there, decompressed, without a byte order mark.

    ``sha256`` and ``bytes`` are of the file itself. ``unprintable``: some character of it is a control or format
    character (a tab included). ``ends_open``: the last line has no line break.
    """

    path: Path
    sha256: str
    bytes: int
    quoted: bool
    lone_returns: bool
    unprintable: bool
    ends_open: bool


class _Hashing(io.RawIOBase):
    """Reads a binary stream and passes every byte on to a hash."""

    def __init__(self, stream: IO[bytes], digest: _Hash) -> None:
        self._stream, self._digest, self.count = stream, digest, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object, /) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        data = self._stream.read(len(view))
        view[: len(data)] = data
        self._digest.update(data)
        self.count += len(data)
        return len(data)


def copy_plain(path: Path, into: Path) -> PlainCopy:
    """Copies ``path`` (gzip where it is called .gz) to ``into`` as plain UTF-8 text.

    Raises LandingError: no regular file, not UTF-8 (line and byte), NUL bytes, truncated or damaged gzip.
    """
    into.mkdir(parents=True, exist_ok=True)
    plain = into / path.name.removesuffix(".gz")
    digest = hashlib.sha256()
    try:
        with opened(path) as stream, written(plain), plain.open("wb") as copy:
            hashing = _Hashing(stream, digest)
            raw = io.BufferedReader(hashing, CHUNK)
            source: IO[bytes] = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw  # type: ignore[assignment]
            form = _Form(path.name)
            while chunk := source.read(CHUNK):
                copy.write(form.see(chunk))
            form.end()
            while raw.read(CHUNK):  # whatever lies behind the last gzip member belongs to the hash too
                pass
    except EOFError as error:
        raise LandingError(
            f"{path.name}: the gzip file is truncated (it ends before its end-of-stream marker)",
            remedy="transfer the file again and compare its size with the sender's",
        ) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise LandingError(
            f"{path.name}: not a sound gzip file ({error})",
            remedy="compress the file again with gzip, or send plain CSV",
        ) from error
    return PlainCopy(
        plain,
        digest.hexdigest(),
        hashing.count,
        form.quoted,
        form.lone_returns,
        form.unprintable,
        form.last not in (b"", b"\n", b"\r"),
    )


@contextlib.contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file for reading, in bytes. Raises LandingError where it is no regular file or may not be read."""
    if not path.is_file():  # a pipe would keep the night waiting
        raise LandingError(f"{path.name} is not a file", remedy="put the table's file under this name")
    try:
        stream = path.open("rb")
    except FileNotFoundError as error:
        raise LandingError(f"{path.name} has gone since the folder was listed", remedy="deliver the file again") from error
    except PermissionError as error:
        raise LandingError(
            f"{path.name} cannot be opened: {error.strerror}", remedy="let the user of the night read the file"
        ) from error
    with stream:
        yield stream


class _Form:
    """What the bytes of a text say of its form, chunk by chunk."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._before, self._lines = 0, 0
        self.quoted = self.lone_returns = self.unprintable = False
        self.last = b""  # the last byte seen

    def see(self, chunk: bytes) -> bytes:
        """Looks at the next chunk; returns what of it belongs into the copy. Raises LandingError."""
        self._check_utf8(chunk)
        if (at := chunk.find(b"\0")) >= 0:
            line, byte = self._lines + chunk.count(b"\n", 0, at) + 1, self._before + at
            raise LandingError(
                f"{self._name}: a NUL byte at line {line}, byte {byte}",
                remedy="export the file as UTF-8 text (NUL bytes come from UTF-16 or from a broken transfer)",
            )
        first = self._before == 0
        self._before, self._lines = self._before + len(chunk), self._lines + chunk.count(b"\n")
        if first:
            chunk = chunk.removeprefix(_BOM)
        self.quoted = self.quoted or b'"' in chunk
        if not self.lone_returns and (b"\r" in chunk or self.last == b"\r"):
            ends = self.last + chunk if self.last == b"\r" else chunk
            lone = ends.count(b"\r") - ends.count(b"\r\n") - ends.endswith(b"\r")  # the last may go on in the next chunk
            self.lone_returns = lone > 0
        if not self.unprintable:
            controls = len(chunk.translate(None, _CONTROLS)) != len(chunk)
            self.unprintable = controls or (not chunk.isascii() and _UNPRINTABLE.search(chunk) is not None)
        self.last = chunk[-1:] or self.last
        return chunk

    def end(self) -> None:
        """Says that nothing follows. Raises LandingError where the last character is cut in two."""
        self._check_utf8(b"", final=True)
        self.lone_returns = self.lone_returns or self.last == b"\r"

    def _check_utf8(self, chunk: bytes, *, final: bool = False) -> None:
        pending = self._decoder.getstate()[0]
        try:
            self._decoder.decode(chunk, final)
        except UnicodeDecodeError as error:
            at = error.start - len(pending)  # error.start counts from the bytes that the decoder still held back
            line, byte = self._lines + chunk[: max(at, 0)].count(b"\n") + 1, self._before + at
            wrong = error.object[error.start]
            hint = " (UTF-16)" if self._before == 0 and error.object[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
            raise LandingError(
                f"{self._name}: not UTF-8 at line {line}, byte {byte} (0x{wrong:02x}){hint}",
                remedy="export the file as UTF-8 (often it is Windows-1253, Latin-1 or UTF-16)",
            ) from error
