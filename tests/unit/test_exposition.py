"""The text that Prometheus reads."""

from __future__ import annotations

from service.exposition import Family, Histogram, Sample, family, render


def test_numbers_with_and_without_labels() -> None:
    text = render(
        [
            family("up", "gauge", "Is it?", 1),
            family("jobs", "gauge", "Jobs", {"a": 2, "b": 0.25}, "status"),
        ]
    )
    assert text == (
        "# HELP up Is it?\n# TYPE up gauge\nup 1\n"
        '# HELP jobs Jobs\n# TYPE jobs gauge\njobs{status="a"} 2\njobs{status="b"} 0.25\n'
    )


def test_any_text_may_be_a_label() -> None:
    sample = Sample(1, {"type": 'a"b\\c\nd'})
    assert 'x{type="a\\"b\\\\c\\nd"} 1' in render([Family("x", "counter", "X", [sample])])


def test_the_buckets_of_a_histogram_add_up() -> None:
    histogram = Histogram((0.1, 1))
    for value in (0.05, 0.1, 0.5, 7):
        histogram.observe(value)
    found = {(s.suffix, s.labels.get("le")): s.value for s in histogram.samples({"route": "/"})}
    assert found == {
        ("_bucket", "0.1"): 2,
        ("_bucket", "1"): 3,
        ("_bucket", "+Inf"): 4,
        ("_sum", None): 7.65,
        ("_count", None): 4,
    }
