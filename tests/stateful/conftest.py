"""The session's PostgreSQL, as the contract tests have it."""

from tests.contract.conftest import postgres, postgres_url

__all__ = ["postgres", "postgres_url"]
