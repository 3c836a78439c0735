"""The answer of a report that still runs: over what is known, and saying how much that is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.reports import pipeline, planning, reuse
from service.routes import events
from tests.service.routing import House, opened, refused

QUESTION: dict[str, Any] = {
    "reportType": "aggregate",
    "parameters": {
        "dataset": "sales",
        "by": ["region"],
        "measures": [{"op": "count", "as": "rows"}, {"op": "sum", "of": "quantity", "as": "units"}],
    },
    "format": "json",
}
ROWS = 300_000  # three row groups


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """Sales of which every row group is kept."""
    monkeypatch.setattr(pipeline, "SHELVED", 1)
    monkeypatch.setattr(reuse, "_WORTH", 0.0)
    monkeypatch.setattr(planning, "STRETCH", 1)
    with opened(tmp_path / "home") as found:
        text = "".join(["region,quantity\n", *(f"R{n % 5},{n % 7}\n" for n in range(ROWS))])
        found.run(found.upload("sales", text))
        yield found


def begun(house: House, form: str = "csv") -> str:
    """A report that is planned, and has computed nothing itself."""
    own = str(house.post({**QUESTION, "format": form}).json["id"])
    while house.engine.jobs.get(own).plan is None:
        house.tick()
    return own


def partial(house: House, own: str) -> dict[str, Any]:
    answer = house.get(f"/api/jobs/{own}/results?partial=true")
    assert answer.status_code == 200, answer.text
    assert int(answer.headers["Retry-After"]) >= 1
    found: dict[str, Any] = answer.json
    return found


def forget_one(house: House) -> None:
    """A row group that nobody has looked at yet."""
    store = house.engine.store
    stretches = sorted(stat.key for stat in store.list("kept") if not stat.key.endswith(".json"))
    assert len(stretches) == 3
    store.delete(stretches[0])


def test_nothing_known_is_an_empty_report(house: House) -> None:
    assert partial(house, begun(house)) == {
        "coverage": 0.0,
        "rowsRead": 0,
        "rowsTotal": ROWS,
        "rows": 0,
        "report": [],
    }


def test_the_report_over_what_is_known_says_how_much_that_is(house: House) -> None:
    whole = json.loads(house.get(f"/api/reports/{house.run(house.post(QUESTION))}/download").text)
    forget_one(house)
    found = partial(house, begun(house))
    assert 0 < found["coverage"] < 1
    assert found["rowsRead"] == sum(row["rows"] for row in found["report"]) < ROWS
    assert [row["region"] for row in found["report"]] == [row["region"] for row in whole]
    assert all(part["units"] < row["units"] for part, row in zip(found["report"], whole, strict=True))


def test_a_partial_answer_is_not_sent_again_until_there_is_more(house: House) -> None:
    own = begun(house)
    first = house.get(f"/api/jobs/{own}/results?partial=true")
    assert first.headers["ETag"].startswith('W/"')
    again = house.get(f"/api/jobs/{own}/results?partial=true", If_None_Match=first.headers["ETag"])
    assert (again.status_code, again.data) == (304, b"")


def test_an_ended_report_has_its_whole_results(house: House) -> None:
    own = house.run(house.post(QUESTION))
    whole = house.get(f"/api/jobs/{own}/results").json
    assert house.get(f"/api/jobs/{own}/results?partial=true").json == whole


def test_where_nothing_can_be_told_that_is_said(house: House) -> None:
    for own in (house.post(QUESTION).json["id"], house.upload("more").json["id"]):
        answer = house.get(f"/api/jobs/{own}/results?partial=true")
        assert refused(answer, 409, "no-partial") == []
        assert "Retry-After" in answer.headers
    house.call("POST", f"/api/jobs/{own}/cancel")
    assert refused(house.get(f"/api/jobs/{own}/results?partial=true"), 409, "job-canceled") == []


def test_a_stream_carries_partial_answers(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_PARTIAL", 0.0)
    house.run(house.post(QUESTION))
    forget_one(house)
    own, jobs = begun(house), house.engine.jobs
    stream = events._written(jobs.follow(own), jobs, 0)
    told = [next(stream).decode() for _ in range(5)]
    assert told[-1].startswith("event: partial\ndata: {")
    data = json.loads(told[-1].split("data: ", 1)[1])
    assert 0 < data["coverage"] < 1
    assert data["report"] == partial(house, own)["report"]
