"""Form: a multipart body that a client sends, its files read while they go. Standard library only."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

BLOCK = 1 << 20


class Form:
    """A multipart form whose files are read while it is sent, from the start each time it is."""

    def __init__(self, fields: Mapping[str, str], paths: Sequence[Path]) -> None:
        self._boundary = f"haulier{random.getrandbits(96):024x}"
        head = [
            f'--{self._boundary}\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'
            for n, v in fields.items()
        ]
        self._head, self._paths = "".join(head).encode(), tuple(paths)
        self._tail = f"--{self._boundary}--\r\n".encode()
        self.content_type = f"multipart/form-data; boundary={self._boundary}"

    @property
    def size(self) -> int:
        """Bytes of the whole form."""
        files = sum(len(self._above(path)) + path.stat().st_size + 2 for path in self._paths)
        return len(self._head) + files + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        for path in self._paths:
            yield self._above(path)
            with path.open("rb") as file:
                while block := file.read(BLOCK):
                    yield block
            yield b"\r\n"
        yield self._tail

    def _above(self, path: Path) -> bytes:
        safe = path.name.replace("\\", "_").replace('"', "%22").replace("\r", "").replace("\n", "")
        return (
            f'--{self._boundary}\r\nContent-Disposition: form-data; name="file"; filename="{safe}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
