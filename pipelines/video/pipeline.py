"""Video as a kind of job: parse, make_plan, run_part, finish, publish, discard.

The plan looks a source over once and decides: one run of ffmpeg, or chunks side by side, sound by itself and
a join. A chunk that is done is kept until the job ends, so a lost worker costs one chunk. Nothing is seen of
a result before all of it is in the store.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines import kept
from pipelines.child import guarded
from pipelines.errors import BadInput
from pipelines.plan import Artifact, Json, Part, Plan
from pipelines.run import Context
from pipelines.store import Store
from pipelines.video import chunked, cost, media
from pipelines.video.chunks import Cut
from pipelines.video.media import Media, Times
from pipelines.video.operations import OPERATIONS, Operation
from pipelines.video.parameters import checked
from pipelines.video.place import head_of, paths_of, workplace
from pipelines.video.request import parse
from pipelines.video.single import whole
from pipelines.video.sniff import kind_of
from pipelines.video.tool import find
from pipelines.video.work import Work

__all__ = ["discard", "finish", "make_plan", "parse", "publish", "run_part"]

_HERE = "pipelines.video.pipeline"
_LONGEST = 24 * 3600.0  # seconds of video
_MOST_FRAMES = 5_000_000
_CORES = os.cpu_count() or 1
_DECIDED = "decided"  # what the first plan of a job decided is kept under


def make_plan(context: Context, spec: Json, _: None) -> Json:
    """Look the sources over and decide how they are worked on. BadInput for what cannot be done with them."""
    operation = OPERATIONS[spec["operation"]]
    find(spec["ffmpeg"])
    with workplace(context, "plan") as folder:
        films, times = _looked_over(context, spec, operation, folder)
    parameters: Any = checked(operation.Parameters, spec["parameters"])
    work = operation.work(parameters, films)
    planned = {**spec, "media": [media.to_json(film) for film in films], "chunks": None}
    pieces, threads = _decided(context, parameters, work, films[0], times)
    if not pieces:
        planned["frames"] = _frames(work, films[0], times)
        return _plan(planned, work, (Part({"whole": True}, max(1, work.total)),))
    planned["chunks"] = [cut.to_json() for cut in pieces]
    planned["threads"] = threads
    parts = [Part({"chunk": number}, cut.frames) for number, cut in enumerate(pieces)]
    if work.chain is not None and work.chain.audio is not None:
        parts.insert(0, Part({"sound": True}, 0))
    return _plan(
        planned, work, tuple(parts), f"{context.job_id}/{_digest(planned, find(spec['ffmpeg']).version)}"
    )


def run_part(context: Context, spec: Json, payload: Json) -> Json:
    """The whole, one chunk, or the sound."""
    if "whole" in payload:
        with workplace(context, "whole") as folder:
            return whole(context, spec, _work(context, spec, folder), folder)
    with workplace(context, f"part-{context.part}") as folder:
        work, film = _work(context, spec, folder), _films(context, spec, folder)[0]
        if "sound" in payload:
            return chunked.sound(context, spec, work, film, folder)
        return chunked.piece(context, spec, work, film, folder, payload["chunk"])


def finish(context: Context, spec: Json, partials: list[Json]) -> Json:
    """The outcome: the artifact that is in the store by now."""
    if spec["chunks"] is None:
        return partials[0]
    with workplace(context, "join") as folder:
        work, film = _work(context, spec, folder), _films(context, spec, folder)[0]
        return chunked.join(context, spec, work, film, folder, partials)


def publish(store: Store, job_id: str, epoch: int, spec: Json, outcome: Json) -> Artifact:
    """The result lies where it belongs already; what made it goes. May be repeated."""
    _tidy(store, job_id)
    return Artifact.from_json(outcome["artifact"])


def discard(store: Store, job_id: str, spec: Json) -> None:
    """Remove what any run left."""
    _tidy(store, job_id)
    store.delete(f"results/{job_id}")


def _tidy(store: Store, job_id: str) -> None:
    store.delete(f"scratch/{job_id}")
    kept.discard(store, job_id)


def _plan(spec: Json, work: Work, parts: tuple[Part, ...], keep: str | None = None) -> Json:
    return Plan(spec, work.unit.value, parts, f"{_HERE}:run_part", f"{_HERE}:finish", keep=keep).to_json()


def _looked_over(
    context: Context, spec: Json, operation: Operation, folder: Path
) -> tuple[list[Media], Times | None]:
    """Every source, and the frames' times of the first."""
    films: list[Media] = []
    first: Times | None = None
    for given, path in zip(spec["files"], paths_of(context, spec["files"], folder), strict=True):
        kind = kind_of(head_of(context.store, {"file": path}))
        if kind is None:
            raise BadInput(f"The file {given['name']!r} is no video by its first bytes.")
        if kind.demuxer is None:
            films.append(Media(given["name"], path, "subtitles"))
            continue
        argument = {"path": path, "format": kind.demuxer, "name": given["name"]}
        found = guarded(context, "pipelines.video.scan:scan", argument, given["name"], given["bytes"])
        film = media.media_of(found, given["name"], path, kind.demuxer)
        _check(film, operation)
        first = first if films else media.times_of(found)
        films.append(film)
    return films, first


def _check(film: Media, operation: Operation) -> None:
    """BadInput for what is too much, and for what is not all there where all of it is wanted."""
    frames = film.video.frames if film.video else 0
    if film.seconds > _LONGEST or frames > _MOST_FRAMES:
        raise BadInput(
            f"The video {film.name!r} has {film.seconds / 3600:.1f} hours and {frames:,} frames; at most "
            f"{_LONGEST / 3600:.0f} hours and {_MOST_FRAMES:,} frames are taken. Cut it first."
        )
    if operation.whole and film.missing > max(2, frames // 100):
        assert film.video is not None
        raise BadInput(
            f"The video {film.name!r} was cut off: {frames:,} of the {film.video.claimed:,} frames its index "
            "names are there. Upload it whole."
        )


def _decided(
    context: Context, parameters: Any, work: Work, film: Media, times: Times | None
) -> tuple[Sequence[Cut], int]:
    """The chunks and the threads of each; as before, if an earlier run of the job has kept some."""
    try:
        made: tuple[Sequence[Cut], int] = kept.get(context.store, context.job_id, _DECIDED)
    except KeyError:
        slots = max(1, context.slots())
        pieces = _chunks(parameters, work, film, times, slots)
        made = pieces, (parameters.threads if pieces else None) or max(1, _CORES // slots)
        if pieces:
            kept.put(context.store, context.job_id, _DECIDED, made, took=1.0)
    return made


def _chunks(parameters: Any, work: Work, film: Media, times: Times | None, slots: int) -> Sequence[Cut]:
    if work.chain is None or times is None:
        return ()
    if isinstance(parameters.chunks, int):
        return cost.exactly(film, times, parameters.chunks)
    return cost.chunks_for(work.chain, film, times, slots=slots, cores=_CORES)


def _frames(work: Work, film: Media, times: Times | None) -> int | None:
    """How many pictures exactly must come out of a window, where that is known."""
    if work.window is None or times is None or film.video is None:
        return None
    ticks = [
        round((film.start + each) / float(times.base), 3) for each in (work.window.start, work.window.end)
    ]
    return sum(ticks[0] <= pts < ticks[1] for pts in times.pts)


def _films(context: Context, spec: Json, folder: Path) -> list[Media]:
    paths = paths_of(context, spec["files"], folder)
    return [media.from_json(film, path) for film, path in zip(spec["media"], paths, strict=True)]


def _work(context: Context, spec: Json, folder: Path) -> Work:
    operation = OPERATIONS[spec["operation"]]
    work = operation.work(checked(operation.Parameters, spec["parameters"]), _films(context, spec, folder))
    return work


def _digest(*given: Any) -> str:
    return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:32]
