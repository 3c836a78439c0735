"""Imports: files of other people made into versions of datasets, whole or not at all.

`options` is the wire, `pipeline` the four things a kind of job gives, `formats` the list of formats; `delimited`
and `columnar` are the formats, `records`, `infer`, `convert` and `strptime` what they are made of.
"""

from pipelines.imports.formats import FORMATS, ImportFormat

__all__ = ["FORMATS", "ImportFormat"]
