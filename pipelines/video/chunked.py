"""The parts of a chunked encode as they run on workers: a chunk, the sound, the join.

A chunk's file is kept beside what is known of it, so a later run of the job takes both. A chunk that has not
the frames it must have is encoded once more, read from the first byte: then nothing can be missed.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.errors import BadInput
from pipelines.plan import Json
from pipelines.run import Context
from pipelines.video import chunks, ffmpeg
from pipelines.video.chunks import Cut
from pipelines.video.media import Media
from pipelines.video.place import fetch, paths_of, upload
from pipelines.video.result import Wrong, check
from pipelines.video.single import counter, publishable, run
from pipelines.video.tool import find
from pipelines.video.work import Work


def piece(context: Context, spec: Json, work: Work, film: Media, folder: Path, number: int) -> Json:
    """Encode one chunk and keep it."""
    assert work.chain is not None
    cut, name = Cut(**spec["chunks"][number]), chunks.name_of(number)
    ended = _encode(context, spec, work, film, folder, cut, name)
    if ended.progress.frames != cut.frames and cut.enter is not None:
        ended = _encode(context, spec, work, film, folder, replace(cut, enter=None), name)
    return _kept(context, folder / "out" / name, ended.progress.frames, ended.errors)


def sound(context: Context, spec: Json, work: Work, film: Media, folder: Path) -> Json:
    """Encode the sound of the whole and keep it."""
    assert work.chain is not None
    step = chunks.sound(work.chain, film, f"out/{chunks.SOUND}")
    errors = run(context, spec, [step], folder, lambda number: lambda progress: context.check())
    return _kept(context, folder / "out" / chunks.SOUND, 0, errors)


def join(context: Context, spec: Json, work: Work, film: Media, folder: Path, partials: list[Json]) -> Json:
    """Put the parts together without encoding again, and look at the result.

    Where that is not what it must be, one run does it all.
    """
    assert work.chain is not None
    parts = list(partials)
    with_sound = work.chain.audio is not None
    heard = parts.pop(0) if with_sound else None
    frames = sum(each["frames"] for each in parts)
    errors = sum(each["errors"] for each in partials)
    try:
        if heard is not None:
            _gather(context, heard, folder / chunks.SOUND)
        for number, each in enumerate(parts):
            _gather(context, each, folder / chunks.name_of(number))
        cuts = [Cut(**each) for each in spec["chunks"]]
        text, step = chunks.joined(work.chain, film, cuts, f"out/{work.output}", with_sound)
        (folder / f"{chunks.JOINED}.ffconcat").write_text(text)
        run(context, spec, [step], folder, lambda number: lambda progress: context.check())
        found = check(context, work, folder, frames)
    except (Wrong, BadInput, FileNotFoundError):
        errors = run(context, spec, work.steps, folder, counter(context, work))
        try:
            found = check(context, work, folder)
        except Wrong as wrong:
            raise BadInput(f"The file {film.name!r} gave no whole result: {wrong}; it is damaged.") from None
    return publishable(context, spec, work, folder, found, errors)


def _kept(context: Context, path: Path, frames: int, errors: int) -> Json:
    key = f"kept/{context.keep}/{path.name}"
    sink = upload(context, path, key, sync=False)
    return {"key": key, "sha256": sink.sha256, "frames": frames, "errors": errors}


def _gather(context: Context, part: Json, target: Path) -> None:
    """FileNotFoundError when it went meanwhile, or is not what it was: kept files are not synced."""
    fetch(context, part["key"], target)
    with target.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != part["sha256"]:
            raise FileNotFoundError(part["key"])


def _encode(
    context: Context, spec: Json, work: Work, film: Media, folder: Path, cut: Cut, name: str
) -> ffmpeg.Ended:
    assert work.chain is not None
    step = chunks.piece(work.chain, film, cut, f"out/{name}", spec["threads"])
    sources: Any = paths_of(context, spec["files"], folder)

    def tell(progress: ffmpeg.Progress) -> None:
        context.progress(min(progress.frames, cut.frames))

    return ffmpeg.run(find(spec["ffmpeg"]).path, step.arguments, folder, sources=sources, tell=tell)
