"""Which requests are alike in what they cost."""

from __future__ import annotations

from service.eta import Run, whole
from service.likeness import traits, unlikeness

BY_REGION = {"by": ["region"], "measures": [{"op": "sum", "of": "quantity * 2"}], "limit": 10}
BY_CUSTOMER = {**BY_REGION, "by": ["customer_id"]}


def test_numbers_make_no_difference_and_columns_do() -> None:
    assert traits(BY_REGION) == {"by=region", "measures.op=sum", "measures.of=quantity * #", "limit=#"}
    assert traits({**BY_REGION, "limit": 99.5}) == traits(BY_REGION)
    assert unlikeness(traits(BY_REGION), traits(BY_REGION)) == 0
    assert unlikeness(traits(BY_REGION), traits(BY_CUSTOMER)) == 0.4
    assert unlikeness(traits(BY_REGION), traits({"year": 2023})) == 1


def test_where_nothing_is_known_nothing_is_unlike() -> None:
    assert unlikeness(frozenset(), traits(BY_REGION)) == 0


def test_runs_of_the_same_shape_count_before_others_of_the_type() -> None:
    cheap = [Run(1000, 1.0, traits=traits(BY_REGION))] * 5
    dear = [Run(1000, 9.0, traits=traits(BY_CUSTOMER))] * 5
    for asked, seconds in ((BY_REGION, 1.0), (BY_CUSTOMER, 9.0)):
        known = whole(1000, [*cheap, *dear], traits(asked))
        assert known is not None
        assert known.middle == seconds
