"""Reports: questions to a dataset, answered part by part and put together exactly.

    shape, entries, draft, types                   from a request to checked Questions
    aggregate, yearly_sales, top, pivot, compare,
    cohort, distribution, profile                  what each type takes, asks and makes of the answers
    expression, arithmetic, conditions, grains,
    bins, lookup                                   what a Question means
    vector, grouping, states, program, kernel      rows to partials, partials to one
    planning, scan, work, answer                   which row groups, reading them, one question's way
    table, cells, render, html, chart              the table a reader sees, the file
    pipeline                                       the entries the service calls

Never imports `pipelines.imports`; reads data only through `pipelines.datasets`.
"""

from pipelines.reports.types import REPORTS, ReportType, describe

__all__ = ["REPORTS", "ReportType", "describe"]
