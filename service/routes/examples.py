"""Examples for the OpenAPI document, by schema: what clients send and get often. A test checks them."""

from __future__ import annotations

from typing import Any

_ID = "01kb5t7q9c4m2x8r6w3v0n1e5z"
_SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

_CALLBACKS = [{"url": "https://example.com/hooks/haulier", "events": ["job.succeeded", "job.failed"]}]

# by the name of the schema
SCHEMAS: dict[str, list[Any]] = {
    "Accepted": [{"id": _ID, "status": "NotStarted"}],
    "ReportStatus": [
        {"status": "In Progress", "estimatedTimeRemaining": "120 seconds"},
        {"status": "Complete", "reportURL": f"/api/reports/{_ID}/download"},
        {"status": "Canceled"},
    ],
    "ResultStatus": [
        {"status": "In Progress", "estimatedTimeRemaining": "8 seconds"},
        {"status": "Complete", "resultURL": f"/api/imports/{_ID}/download"},
    ],
    "Problem": [
        {
            "type": "/problems/invalid-parameters",
            "title": "Invalid parameters",
            "status": 422,
            "detail": "'year' is '20x3'; give four digits such as 2023.",
            "instance": "/api/reports",
            "code": "invalid-parameters",
            "errors": [
                {
                    "pointer": "/parameters/year",
                    "detail": "'year' is '20x3'; give four digits such as 2023.",
                }
            ],
        }
    ],
    "Operation": [
        {"id": _ID, "status": "Running", "percentComplete": 40},
        {
            "id": _ID,
            "status": "Succeeded",
            "percentComplete": 100,
            "resourceLocation": f"http://127.0.0.1:8480/api/jobs/{_ID}/results",
        },
    ],
    "Results": [
        {
            "outputs": {
                "report": {
                    "href": f"/api/reports/{_ID}/download",
                    "type": "text/csv; charset=utf-8",
                    "bytes": 412,
                    "rows": 12,
                    "sha256": _SHA,
                }
            }
        }
    ],
    "ReportRequest": [
        {"reportType": "yearly-sales", "parameters": {"year": "2023"}},
        {
            "reportType": "aggregate",
            "parameters": {
                "dataset": "sales",
                "by": ["region"],
                "measures": [{"op": "sum", "of": "quantity * unit_price", "as": "revenue"}],
            },
            "format": "xlsx",
            "callbacks": _CALLBACKS,
        },
    ],
    "ImportRequest": [
        {"dataset": "sales", "source": "sales-2023.csv", "options": {"mode": "append"}},
        {"dataset": "sales", "source": ["january.csv", "february.csv"], "callbacks": _CALLBACKS},
    ],
    "VideoRequest": [
        {"operation": "transcode", "source": "film.mov", "parameters": {"preset": "web-720p"}},
        {"operation": "trim", "source": "film.mov", "parameters": {"start": 2, "end": "1:02.5"}},
    ],
    "WebhookEvent": [
        {
            "specversion": "1.0",
            "id": f"{_ID}.17",
            "source": f"/api/jobs/{_ID}",
            "type": "job.succeeded",
            "subject": _ID,
            "time": "2026-03-01T12:00:00.000Z",
            "datacontenttype": "application/json",
            "data": {
                "id": _ID,
                "kind": "report",
                "type": "yearly-sales",
                "status": "successful",
                "bytes": 412,
                "results": f"/api/jobs/{_ID}/results",
            },
        }
    ],
}
