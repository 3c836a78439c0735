"""Real files, where they lie beside the checkout: chunks are the pictures of one run, refusals hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.errors import BadInput
from tests.pipelines.filming import Studio, decoded, looked_at
from tests.samples.video import EXPECTED, FOLDER

pytestmark = [
    pytest.mark.slow,
    pytest.mark.samples,
    pytest.mark.skipif(not FOLDER.exists(), reason="the sample files are not beside this checkout"),
]
GOOD = {name: each for name, each in EXPECTED.items() if not isinstance(each, str)}


@pytest.mark.parametrize("name", sorted(GOOD))
def test_chunks_of_a_real_file_are_the_pictures_of_one_run(tmp_path: Path, name: str) -> None:
    """Without loss (crf 0), so every picture can be compared."""
    frames, _, sound = GOOD[name]
    studio, seen = Studio(tmp_path / "store", slots=2), []
    for chunks in (1, 4):
        _, path = studio.run("transcode", FOLDER / name, codec="h264", crf=0, height=64, chunks=chunks)
        seen.append((looked_at(path), decoded(path)))
    (whole, pictures), (joined, same) = seen
    assert len(pictures) == frames and same == pictures
    assert whole.video is not None and joined.video is not None
    for one, other in ((whole.video.first, joined.video.first), (whole.video.last, joined.video.last)):
        assert abs(float(one * whole.video.base - other * joined.video.base)) < 0.0011
    assert bool(whole.audio) == bool(joined.audio) == sound
    if sound:
        starts = [each.audio[0].start for each in (whole, joined)]
        shown = [each.seconds_at(each.first) for each in (whole.video, joined.video)]
        assert abs(starts[0] - shown[0] - (starts[1] - shown[1])) < 0.0011, "they keep their distance"


@pytest.mark.parametrize("name", sorted(set(EXPECTED) - set(GOOD)))
def test_a_broken_real_file_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput) as refused:
        Studio(tmp_path / "store").run("transcode", FOLDER / name)
    assert str(EXPECTED[name]) in refused.value.detail and "\n" not in refused.value.detail
