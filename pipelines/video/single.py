"""A job that is one run after the other in one place: steps, a look at the result, into the store."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath

from pipelines.errors import BadInput
from pipelines.plan import Artifact, Json
from pipelines.run import Context
from pipelines.video import ffmpeg
from pipelines.video.place import paths_of, upload
from pipelines.video.result import Found, Wrong, check
from pipelines.video.tool import find
from pipelines.video.work import Step, Unit, Work

_BLOCK = 1 << 20


def whole(context: Context, spec: Json, work: Work, folder: Path) -> Json:
    """Do all of it; the outcome names the artifact."""
    _write(work, folder)
    frames, again = spec["frames"], work.again if work.again != work.steps else ()
    try:
        errors = run(context, spec, work.steps, folder, counter(context, work))
        found = check(context, work, folder, frames if again else None)
    except (Wrong, BadInput) as error:
        if not again:
            raise _refusal(error, spec) from None
        try:
            errors = run(context, spec, again, folder, counter(context, work))
            found = check(context, work, folder)
        except (Wrong, BadInput) as still:
            raise _refusal(still, spec) from None
    return publishable(context, spec, work, folder, found, errors)


def _refusal(error: Exception, spec: Json) -> BadInput:
    if isinstance(error, BadInput):
        return error
    name = spec["files"][0]["name"]
    return BadInput(f"The file {name!r} gave no whole result: {error}; it is damaged or was cut off.")


def run(
    context: Context,
    spec: Json,
    steps: Sequence[Step],
    folder: Path,
    tell: Callable[[int], Callable[[ffmpeg.Progress], None]],
) -> int:
    """Run the steps one after another; how many errors ffmpeg saw in what it read."""
    tool, sources = find(spec["ffmpeg"]), paths_of(context, spec["files"], folder)
    errors, waiting = 0, list(steps)
    number = 0
    while waiting:
        step = waiting.pop(0)
        level = "error" if step.then is None else "info"
        ended = ffmpeg.run(tool.path, step.arguments, folder, sources=sources, tell=tell(number), level=level)
        if step.then is not None:
            waiting.insert(0, step.then(ended.log))
        else:
            errors += ended.errors
        number += 1
    return errors


def counter(context: Context, work: Work) -> Callable[[int], Callable[[ffmpeg.Progress], None]]:
    """Units done so far, for the run of a number; a job of files counts none before its end."""
    share = work.total // 2 if any(step.then for step in work.steps) else work.total

    def of(number: int) -> Callable[[ffmpeg.Progress], None]:
        def tell(progress: ffmpeg.Progress) -> None:
            if work.unit is Unit.FILES:
                context.check()
                return
            done = progress.frames if work.unit is Unit.FRAMES else progress.milliseconds
            context.progress(min(work.total, number * share + min(done, share)))

        return tell

    return of


def publishable(context: Context, spec: Json, work: Work, folder: Path, found: Found, errors: int) -> Json:
    """Put the result into the store; the outcome that `publish` takes."""
    stem = PurePath(spec["files"][0]["name"]).stem or "video"
    ending = PurePath(work.output).suffix
    key, name = f"{context.results}/{work.output}", f"{stem}-{spec['operation']}{ending}"
    if work.pack:
        _zip(context, folder / "out", folder / work.output)
        sink = upload(context, folder / work.output, key)
    else:
        sink = upload(context, folder / "out" / work.output, key)
    notes = [*work.notes, *found.notes]
    if errors:
        notes.append(f"ffmpeg saw {errors:,} errors in the source; some of it may look or sound damaged.")
    artifact = Artifact(
        key, name, work.media_type, sink.bytes, sink.sha256, notes=tuple(notes), media=found.media
    )
    return {"artifact": artifact.to_json()}


def _write(work: Work, folder: Path) -> None:
    for name, text in work.texts.items():
        (folder / "out" / name).write_text(text, encoding="utf-8")
    for name, data in work.inputs.items():
        (folder / name).write_bytes(data)


def _zip(context: Context, out: Path, target: Path) -> None:
    """Stored, not packed again: videos are. Times are left out, so equal results have equal bytes."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for path in sorted(out.iterdir()):
            with (
                path.open("rb") as file,
                archive.open(zipfile.ZipInfo(path.name), "w", force_zip64=True) as member,
            ):
                while block := file.read(_BLOCK):
                    member.write(block)
                    context.check()
