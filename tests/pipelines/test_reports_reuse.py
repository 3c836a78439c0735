"""The second time: only what is new is read, and what was known gives the same bytes as reading it again."""

from __future__ import annotations

import random
from typing import Any

import pytest

from pipelines.plan import Json, Plan
from pipelines.reports import pipeline, planning, reuse, strategy
from pipelines.run import Context, perform
from tests.pipelines.importing import Workshop

_TYPES: Json = {"columns": {"weight": {"type": "float"}}}
_MONTH = {"time": "at", "grain": "month"}
_FINE: Json = {
    "by": ["region", "shop", {"time": "at", "grain": "day"}],
    "measures": [
        {"op": "count"},
        {"op": "sum", "of": "amount"},
        {"op": "sum", "of": "weight"},
        {"op": "mean", "of": "amount * units"},
        {"op": "max", "of": "region"},
        {"op": "min", "of": "at"},
        {"op": "distinct", "of": "shop"},
        {"op": "quantile", "of": "amount", "q": 0.3},
        {"op": "stddev", "of": "units"},
    ],
}
_COARSE: list[Json] = [
    {"by": ["region", _MONTH], "measures": [{"op": "sum", "of": "amount"}, {"op": "count"}]},
    {"by": [{"time": "at", "grain": "year"}], "measures": [{"op": "distinct", "of": "shop"}]},
    {"measures": [{"op": "quantile", "of": "amount", "q": 0.9}, {"op": "max", "of": "region"}]},
    {
        "by": ["shop"],
        "measures": [{"op": "mean", "of": "amount * units"}, {"op": "min", "of": "at"}],
        "orderBy": [{"column": "shop", "descending": True}],
        "limit": 3,
    },
    {**_FINE, "measures": _FINE["measures"][1:4]},
]


def _csv(seed: int, year: int, rows: int = 300) -> str:
    chosen = random.Random(seed)
    lines = [
        f"{year}-{chosen.randint(1, 12):02}-{chosen.randint(1, 28):02}T10:00:00,{chosen.choice('nsew')},"
        f"{chosen.randint(1, 9)},{chosen.randint(0, 99999) / 100:.2f},{chosen.randint(1, 5)},"
        f"{chosen.random():.6f}"
        for _ in range(rows)
    ]
    return "at,region,shop,amount,units,weight\n" + "\n".join(lines) + "\n"


@pytest.fixture
def shop(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    monkeypatch.setattr(reuse, "_WORTH", 0.0)
    monkeypatch.setattr(pipeline, "SHELVED", 0)
    monkeypatch.setattr(planning, "_SMALLEST", 1)
    for index, mode in enumerate(("create", "append", "append")):
        shop.load("sales", _csv(index, 2021 + index), {"mode": mode, **_TYPES})
    return shop


def run(shop: Workshop, asked: Json, job: str = "job", form: str = "csv") -> tuple[str, list[str]]:
    """The bytes of the report and what is said of it; through every entry, as a cluster calls them."""
    body = {"reportType": "aggregate", "parameters": {"dataset": "sales", **asked}, "format": form}
    spec = pipeline.parse(body, shop.catalog).spec
    plan = Plan.from_json(pipeline.make_plan(shop.context(job, 1), spec, None))
    home = str(shop.home)
    partials: list[Any] = [
        perform(plan.run_part, Context(job, 1, home, n), plan.spec, part.payload)
        for n, part in enumerate(plan.parts)
    ]
    if plan.buckets:
        assert plan.combine
        partials = [
            perform(plan.combine, Context(job, 1, home, bucket=n), plan.spec, partials)
            for n in range(plan.buckets)
        ]
    outcome = pipeline.finish(shop.context(job, 1), plan.spec, partials)
    with shop.store.open(outcome["path"]) as file:
        return file.read().decode(), list(outcome["notes"])


def fresh(shop: Workshop, asked: Json) -> str:
    shop.store.delete("kept")
    return run(shop, asked)[0]


def test_asked_again_nothing_is_read_and_after_an_append_only_the_new_rows(shop: Workshop) -> None:
    first, said = run(shop, _FINE)
    assert said == ["Read 900 rows."]
    again, said = run(shop, _FINE)
    assert (again, said) == (first, ["Read 0 rows; 900 more were known from earlier reports."])
    shop.load("sales", _csv(9, 2024), {"mode": "append", **_TYPES})
    more, said = run(shop, _FINE)
    assert said == ["Read 300 rows; 900 more were known from earlier reports."]
    assert more == fresh(shop, _FINE) != first


def test_what_an_older_version_kept_is_let_be(shop: Workshop) -> None:
    first, _ = run(shop, _FINE)
    old = [stat.key for stat in shop.store.list("kept/reports") if stat.key.endswith("question.json")]
    for key in old:
        with shop.store.put(key) as sink:
            sink.write(b'{"question": {"keys": []}, "strategy": {"depth": 3}}')
    assert old
    assert run(shop, _FINE)[0] == first


@pytest.mark.parametrize("asked", _COARSE)
def test_a_coarser_question_is_answered_from_a_finer_one_to_the_last_byte(
    shop: Workshop, asked: Json
) -> None:
    run(shop, _FINE)
    known, said = run(shop, asked)
    assert said == ["Read 0 rows; 900 more were known from earlier reports."]
    assert known == fresh(shop, asked)


@pytest.mark.parametrize(
    "asked",
    [
        {"by": ["region"], "measures": [{"op": "sum", "of": "weight"}]},
        {"by": ["region"], "measures": [{"op": "stddev", "of": "units"}]},
        {"by": ["region"], "measures": [{"op": "sum", "of": "units"}]},
        {"by": ["units"], "measures": [{"op": "count"}]},
        {"by": [{"time": "at", "grain": "hour"}], "measures": [{"op": "count"}]},
    ],
)
def test_what_the_finer_one_does_not_tell_to_the_last_bit_is_read(shop: Workshop, asked: Json) -> None:
    run(shop, _FINE)
    assert run(shop, asked)[1] == ["Read 900 rows."]


def test_years_that_a_filter_takes_whole_are_those_of_the_unfiltered_question(shop: Workshop) -> None:
    run(shop, _FINE)
    some = {
        **_COARSE[0],
        "where": [
            {"column": "at", "op": ">=", "value": "2022-01-01"},
            {"column": "at", "op": "<", "value": "2023-07-01"},
        ],
    }
    known, said = run(shop, some)
    assert said == ["Read 300 rows; 300 more were known from earlier reports."]
    assert known == fresh(shop, some)


@pytest.mark.parametrize(("asked", "many"), [(_FINE, 1), (_COARSE[0], 1), (_COARSE[1], 10), (_COARSE[3], 1)])
def test_buckets_give_the_same_and_know_as_much(
    shop: Workshop, asked: Json, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = fresh(shop, asked)
    for key in [key for key in shop.files("kept") if key.endswith(".json")]:
        shop.store.delete(key)  # else the plan of last time serves again
    monkeypatch.setattr(strategy, "SAMPLES", 1)
    monkeypatch.setattr(strategy, "MANY", many)
    split, said = run(shop, asked, "split")
    assert len(shop.files("scratch")) == 3
    assert (split, said) == (plain, ["Read 0 rows; 900 more were known from earlier reports."])
    shop.store.delete("kept")
    assert run(shop, asked, "again") == (plain, ["Read 900 rows."])
