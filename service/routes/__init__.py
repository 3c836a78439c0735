"""HTTP in, one use case of `service.jobs`, HTTP out: one blueprint a resource.

    reports, imports, videos, jobs, events, operations, datasets, system, pages    the resources
    site.py         what the routes need of the engine behind them, and the address clients see
    guard.py        which requests are let in; headers every answer carries
    problems.py     every refusal as problem+json
    describe.py, examples.py    the OpenAPI document
    documents.py    the bodies of the wire, as pydantic models: OpenAPI is generated from them
    requests.py     JSON bodies, submission headers, `wait`
    uploads.py      files on their way into the store
    deliveries.py   the webhooks of a job, and what is sent to them
    answers.py      the 202, conditional answers, who may wait and how fast one may ask
    metrics.py      what was served and what there is, for Prometheus
    downloads.py    files on their way out

Must not know Dask, SQL or how anything is computed.
"""
