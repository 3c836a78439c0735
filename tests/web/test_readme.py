"""The README's own report: its fifteen lines and its line of REPORTS are run as they are printed."""

from __future__ import annotations

import re
import types
from pathlib import Path

import pytest

from pipelines.reports.types import REPORTS, ReportType
from tests.service.routing import opened, pointers

README = (Path(__file__).parents[2] / "README.md").read_text()
SALES = "ordered_at,product_id,quantity\n2023-01-05,7,2\n2023-01-06,8,9\n2023-01-07,7,3\n2023-01-08,9,1\n"


def test_the_report_of_the_readme_works_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, section = README.split("## Your own report", 1)
    page, line, *_ = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(page.splitlines()) == 15, "the heading says 15 lines"
    module = types.ModuleType("top_products")
    exec(compile(page, "README.md", "exec", dont_inherit=True), module.__dict__)
    added = eval("{" + line.strip() + "}", {"ReportType": ReportType, "top_products": module})
    for name, report in added.items():
        monkeypatch.setitem(REPORTS, name, report)
    with opened(tmp_path / "home") as house:
        house.run(house.upload("sales", SALES))
        body = {"reportType": "top-products", "parameters": {"most": 2}}
        job_id = house.run(house.post(body))
        assert house.get(f"/api/reports/{job_id}/download").text == "product_id,units\r\n8,9\r\n7,5\r\n"
        assert pointers(house.post({**body, "parameters": {"mots": 2}})) == ["/parameters/mots"]
        known = {each["name"] for each in house.get("/api/report-types").json["reportTypes"]}
        assert "top-products" in known
