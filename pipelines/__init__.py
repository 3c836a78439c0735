"""All that a Dask worker needs to compute: plans, datasets, imports, reports.

Nothing here imports `service`, Flask or SQLAlchemy. A pipeline (`pipelines.imports`, `pipelines.reports`)
gives four things: `parse` a request into a spec, `plan` the spec into parts, run and combine the parts,
`publish` what came out. See `pipelines.plan` for the shapes that travel between them.
"""
