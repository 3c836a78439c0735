"""Which demuxer a file's first bytes allow, and the fence around reading it.

A file is opened with the one demuxer its own signature names, whatever it is called and whatever ffmpeg would
guess: lists of other files (playlists, concat scripts, manifests, SDP) have none of these signatures, and
are refused before anything parses them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HEAD = 4096  # bytes that are looked at
MAX_PIXELS = 8192 * 4320  # of one picture
MAX_STREAMS = 64

_MOV = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
_STARTS = {
    b"\x1a\x45\xdf\xa3": "matroska",
    b"OggS": "ogg",
    b"FLV\x01": "flv",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "asf",
    b"\x00\x00\x01\xba": "mpeg",
    b"\x00\x00\x01\xb3": "mpegvideo",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
    b"fLaC": "flac",
    b"ID3": "mp3",
}
_IMAGES = {b"\x89PNG\r\n\x1a\n": "png_pipe", b"\xff\xd8\xff": "jpeg_pipe"}
_RIFF = {b"AVI ": "avi", b"WAVE": "wav"}
_SUBTITLES = (b"WEBVTT", b"[Script Info]")
KNOWN = "MP4, MOV, MKV, WebM, AVI, MPEG-TS, MPEG-PS, Ogg, FLV, ASF/WMV or GIF"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file is by its first bytes: a word of ours, and the demuxer (None for subtitles)."""

    name: str  # "video" (or sound), "image", "subtitles"
    demuxer: str | None


def kind_of(head: bytes) -> Kind | None:
    """None for what is no video, sound, picture or subtitles."""
    if (demuxer := _video(head)) is not None:
        return Kind("video", demuxer)
    for start, name in _IMAGES.items():
        if head.startswith(start):
            return Kind("image", name)
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return Kind("image", "webp_pipe")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(_SUBTITLES) or (text[:1].isdigit() and b"-->" in text):
        return Kind("subtitles", None)
    return None


def input_options(demuxer: str) -> Mapping[str, Any]:
    """How ffmpeg must open a file: one demuxer, local files only, bounded pictures and streams."""
    return {
        "f": demuxer,
        "format_whitelist": demuxer,
        "protocol_whitelist": "file",
        "max_streams": MAX_STREAMS,
        **({} if demuxer in ("wav", "mp3", "flac", "aac") else {"max_pixels": MAX_PIXELS}),
    }


def _video(head: bytes) -> str | None:
    if head[4:8] in _MOV:
        return "mov"
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12])
    for start, name in _STARTS.items():
        if head.startswith(start):
            return name
    if _is_transport_stream(head):
        return "mpegts"
    if (
        len(head) > 1
        and head[0] == 0xFF
        and head[1] & 0xE0 == 0xE0
        and head[1] != 0xFF
        and head[:3] != b"\xff\xd8\xff"
    ):
        return "aac" if head[1] & 0x06 == 0 else "mp3"  # sync words of ADTS and of MPEG audio
    return None


def _is_transport_stream(head: bytes) -> bool:
    """Packets of 188 bytes, or of 192 with four bytes of time in front; each begins with 0x47."""
    return any(
        len(head) > first + 3 * size and all(head[first + n * size] == 0x47 for n in range(4))
        for first, size in ((0, 188), (4, 192))
    )
