"""Sites that tests share: to restart one is cheaper than a new one. Each is checked after each test."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.embedded import Embedded
from tests.faults.matrix import Outcome, table
from tests.faults.scaled import Scaled
from tests.faults.site import Site, sound

FAILED = pytest.StashKey[bool]()
HERE = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs_root: mounts a small file system; skipped for other users")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Behind the last test of this folder the sites go: even idle they would slow the other tests down."""
    if nextitem is not None and HERE not in nextitem.path.parents and POOL in item.session.stash:
        item.session.stash[POOL].close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The matrix row by row, when the slow rows were asked for as well."""
    if config.option.markexpr == "not slow":
        return
    outcomes: dict[str, Outcome] = defaultdict(Outcome)
    for verdict in ("passed", "skipped", "failed", "error"):
        for report in terminalreporter.stats.get(verdict, ()):
            outcomes[report.nodeid.split("[")[0]].add(verdict, getattr(report, "duration", 0.0))
    terminalreporter.section("fault matrix")
    for line in table(outcomes):
        terminalreporter.write_line(line)


class Pool:
    """One running site of each make; one that a test left broken is thrown away."""

    def __init__(self) -> None:
        self._sites: dict[str, Site] = {}

    def get(self, name: str, make: Callable[[], Site]) -> Site:
        if name not in self._sites:
            self._sites[name] = make()
        return self._sites[name]

    def drop(self, name: str) -> None:
        if site := self._sites.pop(name, None):
            site.close()

    def close(self) -> None:
        for name in list(self._sites):
            self.drop(name)


POOL = pytest.StashKey[Pool]()


@pytest.fixture(scope="session")
def pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    found = request.session.stash[POOL] = Pool()
    yield found
    found.close()


def _lent(name: str, make: Callable[[], Any], pool: Pool, node: pytest.Item) -> Iterator[Any]:
    pool_site: Any = pool.get(name, make)
    try:
        pool_site.restore()
        yield pool_site
        if node.stash.get(FAILED, True):
            print(pool_site.tails())  # noqa: T201  # shown with the failure
            pool.drop(name)
        else:
            pool_site.restore()
            sound(pool_site)
    except BaseException:
        pool.drop(name)
        raise


@pytest.fixture
def embedded(pool: Pool, request: pytest.FixtureRequest) -> Iterator[Embedded]:
    yield from _lent("embedded", Embedded, pool, request.node)


@pytest.fixture
def scaled(pool: Pool, request: pytest.FixtureRequest) -> Iterator[Scaled]:
    """Two servers, two dispatchers, two workers."""
    yield from _lent("scaled", lambda: Scaled(servers=2, dispatchers=2), pool, request.node)


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest) -> Site:
    site: Site = request.getfixturevalue("embedded" if request.param == "sqlite" else "scaled")
    return site
