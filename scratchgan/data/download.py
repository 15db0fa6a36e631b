"""Fetching one published file into a folder: whole and checked, or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from .dataset import DataError

_TIMEOUT = 30.0  # seconds without an answer or a byte
_CHUNK = 1 << 16
_STALE = 24 * 3600.0  # seconds after which a partial file can only be a killed process's


@dataclass(frozen=True)
class RemoteFile:
    """A file as its publisher describes it: name, size in bytes, SHA-256 in hex."""

    name: str
    size: int
    sha256: str


def fetch(file: RemoteFile, mirrors: Sequence[str], folder: Path, *, hint: str, quiet: bool = False) -> Path:
    """The path of `file` in `folder`, downloaded from the first mirror that has it unless it is there.

    The bytes go to a temporary file beside the target and take its name only when size and SHA-256 are
    right; on any failure, Ctrl-C included, they are deleted. A killed process leaves at most that temporary
    file, which a later call clears away.

    Args:
        file: what to fetch.
        mirrors: URLs of folders, each ending in a slash, in the order to try.
        folder: where to put it; made when missing.
        hint: what else a person can do: the end of the message when every mirror fails.
        quiet: no progress bar.

    Raises:
        DataError: when no mirror gave the right bytes (with each one's reason), or `folder` can't be written.
    """
    target = folder / file.name
    if target.is_file():
        return target
    failures = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _clear_stale(folder)
        for mirror in mirrors:
            url = mirror + file.name
            try:
                with _temporary_beside(target) as stream, _progress(file, quiet) as advance:
                    _transfer(url, file, stream, advance)
                    stream.flush()
                    os.fsync(stream.fileno())
                    os.replace(stream.name, target)
                return target
            except _TransferError as error:
                failures.append(f"{url}: {error}")
    except OSError as error:
        raise DataError(
            f"{folder}: can't write {file.name} there ({error.strerror or error}): "
            f"make room or set SCRATCHGAN_CACHE_DIR to another folder, or {hint}"
        ) from error
    raise DataError(f"could not download {file.name} ({'; '.join(failures)}): put it into {folder}, or {hint}")


class _TransferError(Exception):
    """One mirror's failure; the next may do."""


def _transfer(url: str, file: RemoteFile, stream: IO[bytes], advance: Callable[[int], None]) -> None:
    digest = hashlib.sha256()
    received = 0
    for chunk in _body(url):
        received += len(chunk)
        if received > file.size:
            raise _TransferError(f"sent more than the {file.size:,} bytes of {file.name}")
        digest.update(chunk)
        stream.write(chunk)
        advance(len(chunk))
    if received < file.size:
        raise _TransferError(f"broke off after {received:,} of {file.size:,} bytes")
    if digest.hexdigest() != file.sha256:
        raise _TransferError("wrong SHA-256 checksum, so what came was deleted")


def _body(url: str) -> Iterator[bytes]:
    """The bytes at `url`. Network errors become `_TransferError`; a full disk is no mirror's fault."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as response:
            while chunk := response.read(_CHUNK):
                yield chunk
    except urllib.error.HTTPError as error:
        raise _TransferError(f"HTTP {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
        reason = getattr(error, "reason", error)
        raise _TransferError(getattr(reason, "strerror", None) or str(reason) or repr(reason)) from error


@contextlib.contextmanager
def _temporary_beside(target: Path) -> Iterator[IO[bytes]]:
    """A new file in the target's folder, gone afterwards unless it was renamed."""
    with tempfile.NamedTemporaryFile(
        dir=target.parent, prefix=f".{target.name}.", suffix=".part", delete=False
    ) as stream:
        try:
            yield cast(IO[bytes], stream)
        finally:
            Path(stream.name).unlink(missing_ok=True)


def _clear_stale(folder: Path) -> None:
    for partial in folder.glob(".*.part"):
        with contextlib.suppress(FileNotFoundError):  # another process may clear it too
            if time.time() - partial.stat().st_mtime > _STALE:
                partial.unlink()


@contextlib.contextmanager
def _progress(file: RemoteFile, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr, as a function to be told of every few bytes more."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        task = progress.add_task(file.name, total=file.size)
        yield lambda count: progress.advance(task, count)
