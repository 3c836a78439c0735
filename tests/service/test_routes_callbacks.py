"""`callbacks` on every way to submit, what is refused about them, and the log of what was sent."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.webhooks import Sender, Signer
from tests.service.receiving import SECRET, receiver
from tests.service.routing import REPORT, SALES, Answer, House, opened, pointers, refused, with_sales

URL = "https://hooks.example/done"
TO = [{"url": URL}]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with with_sales(tmp_path / "home", webhook_secret=SECRET) as found:
        yield found


def subscribed(house: House, answer: Answer) -> list[str]:
    assert answer.status_code == 202, answer.text
    return [each.url for each in house.engine.tracker.outbox.callbacks(answer.json["id"])]


def form(house: House, path: str, **fields: str) -> Answer:
    name, text = ("more.csv", SALES) if path == "/api/imports" else ("film.mp4", "no film")
    data = {**fields, "file": (io.BytesIO(text.encode()), name)}
    return house.call("POST", path, data=data, content_type="multipart/form-data")


def test_a_report_takes_callbacks_beside_its_parameters(house: House) -> None:
    answer = house.post({**REPORT, "callbacks": TO})
    assert subscribed(house, answer) == [URL]
    assert house.job(answer.json["id"])["parameters"] == REPORT["parameters"]


def test_an_import_takes_them_in_its_form_its_json_and_a_header(house: House) -> None:
    assert subscribed(house, form(house, "/api/imports", dataset="a", callbacks=json.dumps(TO))) == [URL]
    (house.engine.settings.input_folders[0] / "b.csv").write_text(SALES)
    named = {"dataset": "b", "source": "b.csv", "callbacks": TO}
    answer = house.call("POST", "/api/imports", json=named)
    assert subscribed(house, answer) == [URL]
    assert "callbacks" not in house.job(answer.json["id"])["parameters"]
    raw = house.upload("c", headers={"Haulier-Callbacks": json.dumps(TO)})
    assert subscribed(house, raw) == [URL]


@pytest.mark.parametrize("path", ["/api/imports", "/api/videos"])
def test_a_form_with_a_wrong_callback_says_so_and_leaves_no_file(house: House, path: str) -> None:
    before = house.files()
    name = "dataset" if path == "/api/imports" else "operation"
    said = {name: "d" if name == "dataset" else "probe"}
    answer = form(house, path, **said, callbacks='[{"url": "ftp://x"}]')
    assert "/callbacks/0/url" in pointers(answer)
    assert pointers(form(house, path, **said, callbacks="[")) == ["/callbacks"]
    assert house.files() == before


def test_faults_of_callbacks_are_told_with_all_others(house: House) -> None:
    wrong = {
        "reportType": "yearly-sales",
        "parameters": {"year": "x"},
        "callbacks": [{"url": "http://10.0.0.1/"}],
    }
    assert pointers(house.post(wrong)) == ["/callbacks/0/url", "/parameters/year"]
    named = {"dataset": "b", "callbacks": [{}]}
    assert pointers(house.call("POST", "/api/imports", json=named)) == ["/callbacks/0/url", "/source"]
    video = {"operation": "prob", "source": "none.mp4", "callbacks": 7}
    assert pointers(house.call("POST", "/api/videos", json=video)) == ["/callbacks", "/operation", "/source"]
    assert pointers(house.upload("c", headers={"Haulier-Callbacks": "{}"})) == ["/callbacks"]
    assert pointers(house.call("POST", "/api/reports?dryRun=true", json={**REPORT, "callbacks": {}})) == [
        "/callbacks"
    ]
    assert len(house.jobs()) == 1


def test_a_dry_run_with_callbacks_tells_nobody(house: House) -> None:
    answer = house.call("POST", "/api/reports?dryRun=true", json={**REPORT, "callbacks": TO})
    assert answer.status_code == 200
    assert house.engine.tracker.outbox.waiting() == 0


def test_without_a_secret_callbacks_are_refused_before_a_job_exists(tmp_path: Path) -> None:
    with opened(tmp_path / "home") as house:
        [(pointer, detail)] = refused(
            house.upload("c", headers={"Haulier-Callbacks": json.dumps(TO)}), 422, "invalid-parameters"
        )
        assert (pointer, "HAULIER_WEBHOOK_SECRET" in detail) == ("/callbacks", True)
        assert house.jobs() == []


def test_a_key_with_other_callbacks_is_another_request(house: House) -> None:
    key = {"Idempotency-Key": "k"}
    first = house.post({**REPORT, "callbacks": TO}, key)
    again = house.post({**REPORT, "callbacks": TO}, key)
    assert (again.json, again.headers["Idempotency-Replayed"]) == (first.json, "true")
    refused(house.post(REPORT, key), 422, "idempotency-key-reused")


def test_a_job_that_is_run_again_tells_the_same_receivers(house: House) -> None:
    job_id = house.post({**REPORT, "callbacks": TO}).json["id"]
    house.cancel(job_id)
    assert subscribed(house, house.call("POST", f"/api/jobs/{job_id}/retry")) == [URL]


def test_the_log_tells_what_was_sent_and_how_it_went(tmp_path: Path) -> None:
    secrets = {"webhook_secret": SECRET, "webhook_allow_private": "yes"}
    with receiver() as inbox, with_sales(tmp_path / "home", **secrets) as house:
        to = [
            {"url": f"{inbox.url}/a", "events": ["job.started", "job.succeeded"]},
            {"url": f"{inbox.url}/b"},
        ]
        job_id = house.run(house.post({**REPORT, "callbacks": to}))
        log = f"/api/jobs/{job_id}/deliveries"
        waiting = house.get(log).json["deliveries"]
        assert [(each["event"], each["status"]) for each in waiting] == [
            ("job.started", "pending"),
            ("job.succeeded", "pending"),
            ("job.succeeded", "pending"),
        ]
        sender = Sender(house.engine.tracker.outbox, Signer.of(SECRET), private=True)
        sender.start()
        posts = inbox.wait(3)
        sender.stop()
        sent: list[dict[str, Any]] = house.get(log).json["deliveries"]
        assert {each["id"] for each in sent} == {post.headers["webhook-id"] for post in posts}
        for each in sent:
            [attempt] = each["attempts"]
            assert (each["status"], each["nextAttempt"], attempt["status"]) == ("delivered", None, 204)
            assert each["delivered"] is not None
        assert {post.event().get_source() for post in posts} == {f"/api/jobs/{job_id}"}
        refused(house.get("/api/jobs/nobody/deliveries"), 404, "unknown-job")
