"""The fault matrix: each row with the tests that prove it, or why it is left out. See `test_matrix`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_HERE = "tests/faults"


@dataclass(frozen=True)
class Row:
    """`tests` are "file::function"; without any, `reason` says why; with some, what they leave open."""

    fault: str
    tests: tuple[str, ...] = ()
    reason: str = ""


@dataclass
class Outcome:
    """What came of a test function over all its parameters: `verdict` is the worst, in pytest's words."""

    verdict: str = ""
    seconds: float = 0.0

    def add(self, verdict: str, seconds: float) -> None:
        order = ("", "passed", "skipped", "failed", "error")
        self.verdict = max(self.verdict, verdict, key=order.index)
        self.seconds += seconds


def table(outcomes: Mapping[str, Outcome]) -> Iterator[str]:
    """A line a test of each row, by "file::function"; a row that is left out says why."""
    for number, row in ROWS.items():
        if not row.tests:
            yield f"{number:>3}  left out  {'':7}  {row.fault}: {row.reason}"
        for n, name in enumerate(row.tests):
            found = outcomes.get(name, Outcome("not run"))
            test = name.split("::")[1].removeprefix("test_")
            what = f"{row.fault} | {test}" if n == 0 else test
            yield f"{number:>3}  {found.verdict:8}  {found.seconds:5.1f} s  {what}"
        if row.tests and row.reason:
            yield f"{number:>3}  open      {'':7}  {row.reason}"


def _in(file: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{_HERE}/test_{file}.py::test_{name}" for name in names)


ROWS: dict[int, Row] = {
    1: Row("API killed while it accepts", _in("api_faults", "killed_while_accepting_a_retry_finds_one_job")),
    2: Row(
        "API told to leave under load",
        _in("api_faults", "sigterm_under_load_keeps_every_202")
        + _in("waiting_faults", "those_who_wait_do_not_keep_the_server_from_leaving"),
        "that readiness fails first cannot be seen: the server stops taking connections at once",
    ),
    3: Row("API frozen for 10 s", _in("api_faults", "a_frozen_server_makes_no_second_job_of_a_retry")),
    4: Row("client gone in mid-upload", _in("api_faults", "a_client_gone_in_mid_upload_leaves_nothing")),
    5: Row(
        "client gone in mid-download, slow readers",
        _in(
            "api_faults",
            "a_broken_download_is_resumed_to_the_same_bytes",
            "fifty_slow_readers_keep_nobody_out",
        ),
    ),
    6: Row(
        "one key, fifty threads",
        _in("api_faults", "fifty_threads_with_one_key_get_one_job"),
        "keys of other tenants come with API keys, a later issue",
    ),
    7: Row(
        "event streams and long polls while the server is killed",
        _in("waiting_faults", "who_waits_when_the_server_is_killed_learns_the_end"),
    ),
    8: Row("body bombs", _in("api_faults", "body_bombs_are_refused_in_bounded_memory")),
    9: Row(
        "dispatcher killed with running and queued jobs",
        _in(
            "dispatcher_faults",
            "service_killed_with_two_running_and_twenty_queued",
            "a_dead_dispatchers_work_is_adopted",
            "a_dispatcher_told_to_leave_hands_its_work_over",
        ),
    ),
    10: Row(
        "dispatcher frozen past its lease",
        (
            *_in(
                "dispatcher_faults",
                "a_frozen_dispatcher_wakes_as_a_stranger",
                "a_second_service_on_a_home_is_kept_out",
            ),
            *_in("mutants", "with_its_fence_a_stale_dispatcher_publishes_nothing"),
        ),
    ),
    11: Row(
        "two dispatchers at once",
        _in(
            "dispatcher_faults",
            "two_dispatchers_share_three_hundred_jobs",
            "a_second_service_on_a_home_is_kept_out",
        ),
    ),
    12: Row(
        "dispatcher crashes at each point",
        _in(
            "dispatcher_faults",
            "a_crash_at_each_point_of_the_way",
            "an_embedded_service_crashes_and_starts_again",
        ),
    ),
    13: Row("database locked by another", _in("dispatcher_faults", "a_locked_database_starts_no_storm")),
    14: Row(
        "scheduler killed and restarted",
        _in(
            "scheduler_faults",
            "scheduler_killed_at_ninety_percent_redoes_little",
            "embedded_scheduler_killed",
        ),
    ),
    15: Row("scheduler gone", _in("scheduler_faults", "scheduler_gone_for_good_costs_nobody_anything")),
    16: Row("partition from the scheduler", _in("scheduler_faults", "a_partition_from_the_scheduler_heals")),
    17: Row("worker killed", _in("worker_faults", "a_killed_worker_costs_its_part_only")),
    18: Row("poison job", _in("worker_faults", "a_poison_job_is_stopped_and_blamed_alone")),
    19: Row("worker told to leave", _in("worker_faults", "a_worker_told_to_leave_is_nobodys_fault")),
    20: Row("worker frozen", _in("worker_faults", "a_frozen_worker_wakes_too_late")),
    21: Row(
        "worker out of memory",
        _in("worker_faults", "a_memory_hog_is_told_so"),
        "ffmpeg comes with videos, a later issue",
    ),
    22: Row(
        "hung job",
        _in("worker_faults", "a_hung_job_ends_at_its_deadline", "a_cancel_of_a_hung_job_frees_its_slot"),
    ),
    23: Row("nanny killed", _in("worker_faults", "a_worker_does_not_outlive_its_nanny")),
    24: Row("worker dies while ffmpeg runs", reason="videos are a later issue"),
    25: Row(
        "disk full under the database",
        _in("database_faults", "a_full_disk_under_the_database_is_never_a_202"),
    ),
    26: Row("a sync fails once", _in("database_faults", "a_failed_sync_is_no_success")),
    27: Row("PostgreSQL restarted", _in("database_faults", "postgres_restarted_at_once_loses_nothing")),
    28: Row("PostgreSQL half-open", _in("database_faults", "a_half_open_database_is_bounded")),
    29: Row("a second SQLite writer", _in("dispatcher_faults", "a_second_service_on_a_home_is_kept_out")),
    30: Row("order of sync and answer", _in("database_faults", "every_202_comes_after_its_sync")),
    31: Row(
        "database damaged or newer",
        _in("database_faults", "a_database_that_cannot_be_used_stops_the_start"),
        "read-only: root writes anyway; an older schema is migrated, see the tests of the tracker",
    ),
    32: Row(
        "disk full under the results",
        _in("store_faults", "a_full_disk_under_the_results_fails_the_job_cleanly"),
    ),
    33: Row("result damaged", _in("store_faults", "a_damaged_result_is_never_served_as_whole")),
    34: Row(
        "hostile input",
        _in("input_faults", "hostile_files_fail_their_import_only"),
        "videos and HLS come with a later issue",
    ),
    35: Row("retention races", _in("store_faults", "retention_races_downloads_and_running_jobs")),
    36: Row("wall clock jumps", _in("races_and_time", "a_jump_of_the_wall_clock_expires_nothing")),
    37: Row(
        "cancel races",
        _in(
            "races_and_time",
            "cancel_races_completion",
            "cancel_races_completion_five_hundred_times",
            "what_is_canceled_in_the_queue_never_starts",
        ),
    ),
    38: Row("webhook receivers", reason="webhooks are a later issue"),
    39: Row(
        "poll flood",
        _in("api_faults", "a_flood_of_polls_does_not_slow_the_jobs"),
        "429 per client comes with API keys, a later issue",
    ),
    40: Row("soak", _in("soak", "a_short_soak_is_clean"), "ten minutes of it are `make soak`"),
}
