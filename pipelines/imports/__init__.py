"""Imports: files of other people made into versions of datasets, whole or not at all.

`options` is the wire, `request` checks a submission, `pipeline` holds what a kind of job gives, `formats`
lists the formats. A plan `unpack`s files, surveys them (`sniff`, `layout`, `encoding` find out how text is
written) and `prepare`s one spec; parts become columns of text, `typed` makes them columns of types by what
`infer` and `convert` say, `rejects` keeps the bad rows, `receipt` tells all of it. Risky parsers run in a
`child`.
"""

from pipelines.imports.formats import FORMATS, ImportFormat

__all__ = ["FORMATS", "ImportFormat"]
