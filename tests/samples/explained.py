"""Why the outcome of a sample file is not to the letter what EXPECTED.json says."""

from __future__ import annotations

EXPLAINED: dict[str, str] = {}
