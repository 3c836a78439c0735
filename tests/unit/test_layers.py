"""The import arrows of the house, read from the source: who may know whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted([*ROOT.glob("pipelines/**/*.py"), *ROOT.glob("service/**/*.py")])


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    """Every module a file imports, at the top or inside a function, as absolute dotted names."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


IMPORTS = {module_of(path): imports_of(path) for path in FILES}


def within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def offenders(modules: tuple[str, ...], forbidden: tuple[str, ...]) -> Iterator[str]:
    for module, imported in IMPORTS.items():
        if within(module, *modules):
            yield from (f"{module} -> {name}" for name in sorted(imported) if within(name, *forbidden))


DASK = ("dask", "distributed")
WEB = ("flask", "flask_openapi", "werkzeug", "granian", "jinja2")
SQL = ("sqlalchemy", "alembic", "psycopg")

ARROWS = [
    (("pipelines",), ("service", *WEB, *SQL)),
    (("pipelines.reports",), ("pipelines.imports", "pipelines.video", "pipelines.registry")),
    (("pipelines.imports",), ("pipelines.reports", "pipelines.video", "pipelines.registry")),
    (("pipelines.datasets",), ("pipelines.imports", "pipelines.reports", "pipelines.registry")),
    (
        ("pipelines.plan", "pipelines.errors", "pipelines.store"),
        ("pipelines.datasets", "pyarrow", "pandas", *DASK),
    ),
    (("service.model",), ("service", *WEB, *SQL, *DASK)),
    (("service.errors",), ("service.tracker", "service.jobs", *WEB[1:], *SQL, *DASK)),
    (("service.tracker",), ("service.cluster", "service.jobs", *WEB, *DASK)),
    (("service.cluster", "service.compute"), ("service.tracker", "service.jobs", *WEB, *SQL)),
    (("service.jobs",), ("service.cluster", "service.dispatcher", "service.routes", *WEB, *SQL, *DASK)),
    (("service.dispatcher",), ("service.routes", "service.jobs", *WEB, *SQL, *DASK)),
    (
        ("service.routes",),
        (
            "service.tracker",
            "service.cluster",
            "service.dispatcher",
            "service.engine",
            "pyarrow",
            *SQL,
            *DASK,
        ),
    ),
]


@pytest.mark.parametrize(("modules", "forbidden"), ARROWS, ids=lambda names: names[0])
def test_import_arrows_point_one_way(modules: tuple[str, ...], forbidden: tuple[str, ...]) -> None:
    assert list(offenders(modules, forbidden)) == []


def test_nobody_imports_the_app() -> None:
    assert list(offenders(("pipelines", "service"), ("service.app",))) == []


def test_one_package_imports_sqlalchemy_and_few_modules_import_dask() -> None:
    others = tuple(m for m in IMPORTS if not within(m, "service.tracker"))
    assert [m for m in others if any(within(name, *SQL) for name in IMPORTS[m])] == []
    dask = {m for m in IMPORTS if any(within(name, *DASK) for name in IMPORTS[m])}
    assert {m for m in dask if not within(m, "service.cluster", "service.compute", "pipelines.run")} == set()


def test_only_settings_reads_the_environment() -> None:
    readers = {
        module_of(path)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
    }
    assert readers <= {"service.settings"}


def test_files_stay_readable() -> None:
    assert [f"{module_of(p)}: {n}" for p in FILES if (n := len(p.read_text().splitlines())) > 310] == []


BLOCKED = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError("blocked: " + name)
sys.meta_path.insert(0, Block())
import importlib, pkgutil, {package}
for module in pkgutil.walk_packages({package}.__path__, "{package}."):
    importlib.import_module(module.name)
"""


def test_a_worker_imports_all_of_pipelines_without_flask_and_sqlalchemy() -> None:
    blocked = {
        "flask",
        "sqlalchemy",
        "alembic",
        "granian",
        "urllib3",
        "tqdm",
        "structlog",
        "psycopg",
        "service",
    }
    code = BLOCKED.format(blocked=blocked, package="pipelines")
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120)


def test_the_client_and_the_command_line_start_without_the_heavy_libraries() -> None:
    blocked = {"flask", "sqlalchemy", "dask", "distributed", "pandas", "pyarrow", "numpy", "deltalake"}
    code = BLOCKED.split("import importlib")[0].format(blocked=blocked) + "import service.client, service.cli"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
