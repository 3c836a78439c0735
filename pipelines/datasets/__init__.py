"""Datasets: versioned tables of Parquet fragments, kept as Delta tables under `datasets/<name>` in the store.

`model` says what a dataset is, `layout` how a fragment is written, `commit` how fragments become a version,
`catalog` finds versions, `reader` reads row groups. Nothing here knows of imports or reports.
"""

from pipelines.datasets.catalog import Catalog
from pipelines.datasets.commit import Commit, Mode, commit_fragments, committed_version
from pipelines.datasets.layout import ROW_GROUP_ROWS, write_fragment
from pipelines.datasets.model import (
    Column,
    Dataset,
    Fragment,
    arrow_type,
    column_type,
    dataset_key,
    find_time_column,
    is_dataset_name,
)
from pipelines.datasets.reader import read_batches, read_row_groups, row_group_rows, row_group_stats

__all__ = [
    "ROW_GROUP_ROWS",
    "Catalog",
    "Column",
    "Commit",
    "Dataset",
    "Fragment",
    "Mode",
    "arrow_type",
    "column_type",
    "commit_fragments",
    "committed_version",
    "dataset_key",
    "find_time_column",
    "is_dataset_name",
    "read_batches",
    "read_row_groups",
    "row_group_rows",
    "row_group_stats",
    "write_fragment",
]
