"""Imports: files of other people made into versions of datasets, whole or not at all.

`options` is the wire, `request` checks a submission, `pipeline` holds what a kind of job gives, `formats`
lists the formats; `delimited` and `columnar` are the formats, the rest is what they are made of.
"""

from pipelines.imports.formats import FORMATS, ImportFormat

__all__ = ["FORMATS", "ImportFormat"]
