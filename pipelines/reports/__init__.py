"""Reports: questions to a dataset, answered part by part and put together exactly.

    shape, aggregate, yearly_sales, types, draft   from a request to a checked Question
    expression, arithmetic, conditions, grains     what a Question means
    vector, grouping, states, program, kernel      rows to partials, partials to one
    planning, scan, answer, cells, render          which row groups, reading them, the table, the file
    pipeline                                       the entries the service calls

Never imports `pipelines.imports`; reads data only through `pipelines.datasets`.
"""

from pipelines.reports.types import REPORTS, ReportType, describe

__all__ = ["REPORTS", "ReportType", "describe"]
