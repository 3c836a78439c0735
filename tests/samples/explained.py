"""Why the outcome of a sample file is not to the letter what EXPECTED.json says."""

from __future__ import annotations

EXPLAINED: dict[str, str] = {
    "dirty/pollock/Resultsgk06.datInfos.csv": (
        "The one record has 17 cells, the last a line break in quotes: it is kept as a column of its "
        "own rather "
        "than dropped or the record rejected; the receipt says that column 17 has no name."
    ),
    "dirty/pollock-generated/file_field_delimiter_0x20.csv": (
        "Cells with blanks are not quoted in this file, so blank-delimited records have 9 to 14 "
        "cells: no rule "
        "tells which blanks delimit. Refused with the first lines and reasons."
    ),
    "dirty/pollock-generated/file_quotation_char_0x27.csv": (
        "32 records have a lone apostrophe (won't) inside apostrophe quotes. They are bad rows with "
        "a reason, and "
        "as they are 39 % the import is refused; options.maxBadShare loads the other 51."
    ),
    "dirty/pollock-generated/row_less_sep_row20_col3.csv": (
        "The record that lacks a delimiter is a bad row with its line; the corpus wants it padded, "
        "which shifts."
    ),
    "dirty/pollock-generated/row_extra_quote20_col4.csv": (
        "The record with the stray quote is a bad row with its line; its cells cannot be told apart "
        "for certain."
    ),
    "excel/merged-cells.xlsx": "One cell that holds a word: a header without rows, and that is what is said.",
    "json/y77d-th95.json.gz": (
        "The nested geolocation becomes two columns (geolocation.type, geolocation.coordinates) by "
        "the stated rule."
    ),
    "parquet/int96_from_spark.parquet": (
        "One of six times is eleven million years ahead, which no type of a dataset holds: a bad row, and 1 "
        "of 6 is above maxBadShare. Refused with its row; never wrapped around to 1816 silently."
    ),
}
