"""Cluster: where the work of jobs runs. The dispatcher speaks to the `Cluster` protocol and never to Dask.

    outcomes.py       RunKey, Status, how a run can end, and which exception means which end
    meter.py          units done and the phase in words, from what is known of the parts
    graph.py          a Plan as one Dask graph; the trampoline every task enters by
    connection.py     the Client that comes back after a loss
    stopping.py       canceled work that does not stop by itself
    deaths.py         why workers died, and whose work is to blame
    dask_cluster.py   DaskCluster: a scheduler by address
    inline.py         InlineCluster: the same behaviour in this process, for tests

Must not know the tracker, HTTP or what a job computes. distributed is imported when a connection is made, not
before: accepting a job must not wait for it.
"""

from service.cluster.dask_cluster import DaskCluster
from service.cluster.inline import InlineCluster
from service.cluster.outcomes import (
    Cluster,
    Failed,
    Finished,
    Lost,
    Outcome,
    RunKey,
    Skewed,
    Stage,
    Status,
    Struck,
)

__all__ = [
    "Cluster",
    "DaskCluster",
    "Failed",
    "Finished",
    "InlineCluster",
    "Lost",
    "Outcome",
    "RunKey",
    "Skewed",
    "Stage",
    "Status",
    "Struck",
]
