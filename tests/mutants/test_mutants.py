"""Each critical line, changed for the worse, makes the named test fail: the tests of the promises do notice.

A mutant is one change of one module's source, made while a fresh process imports it. It counts as caught when the named test
fails by an assertion; a crash at import, or a test that was green all along, is a failure here. The fast run has one mutant of
every third module, `make test-long` all of them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
DELIVERY = "tests/unit/pipeline/ingest/test_delivery.py::"
DIRTY_BUCKETS = "tests/property/test_dirty_buckets.py::"
PINS = "tests/pins/test_streaming_libraries.py::"
READING = "tests/unit/pipeline/kafka/test_reading_progress.py::"
STORE = "tests/contract/test_store.py::TestEmbedded::"
EXACTNESS = "tests/property/test_exactness.py::"
LEVELS = "tests/contract/test_catalogue_levels.py::"
TIER = "tests/unit/pipeline/ingest/test_dossier_tier.py::"


@dataclass(frozen=True)
class Mutant:
    rule: str
    module: str
    old: str
    new: str
    test: str  # the node id that must go red


MUTANTS = [
    # ---- store, recount, acknowledge
    Mutant(
        "nothing is acknowledged before it is stored",
        "pipeline.ingest.steps",
        "        stored = self._store_step(batch)",
        "        self.acknowledger._acknowledge(batch.fetches)\n        stored = self._store_step(batch)",
        f"{DELIVERY}test_while_the_storage_is_unavailable_nothing_is_acknowledged[insert_events]",
    ),
    Mutant(
        "nothing is acknowledged before it is counted",
        "pipeline.ingest.acknowledger",
        "batch <= counted",
        "batch <= 1 << 60",
        f"{DELIVERY}test_while_the_storage_is_unavailable_nothing_is_acknowledged[roll_up_days]",
    ),
    Mutant(
        "a message is acknowledged when every tier has counted it, not when it is visible",
        "pipeline.ingest.acknowledger",
        "batch <= counted",
        "batch <= visible",
        f"{DELIVERY}test_while_the_storage_is_unavailable_nothing_is_acknowledged[recount_procedures]",
    ),
    Mutant(
        "nothing is acknowledged before the tables are checked for row policies and TTLs",
        "pipeline.ingest.acknowledger",
        "            self._check_tables()",
        "            pass",
        f"{DELIVERY}test_an_unknown_error_stops_without_acknowledging[check_tables]",
    ),
    Mutant(
        "tallies are recounted, not incremented",
        "sinks.clickhouse.tally_sql",
        '("toInt64(count()) AS events", *',
        '("toInt64(count() + (SELECT sum(events) FROM agency_minute FINAL)) AS events", *',
        f"{STORE}test_the_same_events_again_change_nothing",
    ),
    Mutant(
        "the version of a tally is what its recount saw, not a clock",
        "sinks.clickhouse.tally_sql",
        "max(last), {VERSION} + sum(seen_here)",
        "max(last), toUnixTimestamp64Milli(now64(3))",
        "tests/contract/test_store.py::test_the_version_of_a_tally_is_its_number_of_events",
    ),
    Mutant(
        "the version of a tally grows with every look that a correction comes from",
        "sinks.clickhouse.tally_sql",
        "0 AS here, sum(seen) AS seen_here",
        "0 AS here, 0 AS seen_here",
        "tests/contract/test_dossier_index.py::test_a_recount_that_saw_a_correction_wins[embedded]",
    ),
    Mutant(
        "a recount sees each message once (FINAL)",
        "sinks.clickhouse.tally_sql",
        'source = f"FINAL PREWHERE',
        'source = f"PREWHERE',
        f"{STORE}test_the_same_events_again_change_nothing",
    ),
    # ---- the table of dossiers
    Mutant(
        "a change in the millisecond of the row waits",
        "sinks.clickhouse.dossier_table",
        "WHERE last >= judged",
        "WHERE last > judged",
        "tests/contract/test_dossier_table.py::test_a_change_in_the_millisecond_of_the_row_waits",
    ),
    Mutant(
        "changes are dropped only when nothing waits for them",
        "pipeline.dossiers.keeper",
        "            if waiting.dossiers:\n                yield from",
        "            if False:\n                yield from",
        "tests/contract/test_dossier_table.py::test_a_late_note_is_judged_before_its_period_is_dropped",
    ),
    # ---- dossiers
    Mutant(
        "a correction is claimed before it is written",
        "domain.corrections",
        "    return Decision(correct, correct & ~same)",
        "    return Decision(correct, correct & same & ~same)",
        f"{EXACTNESS}test_a_dossier_that_two_workers_resolve_at_once[True-2]",
    ),
    Mutant(
        "a claim alone is not relied on",
        "domain.corrections",
        "& ~(confirmed & ~other)",
        "& ~(same & ~other)",
        f"{EXACTNESS}test_a_claim_of_a_worker_that_ends_afterwards_is_not_relied_on",
    ),
    Mutant(
        "what is confirmed is not relied on beside another claim",
        "domain.corrections",
        "& ~(confirmed & ~other)",
        "& ~confirmed",
        "tests/unit/domain/test_corrections.py::test_a_confirmed_claim_is_not_relied_on_beside_another_one[other0]",
    ),
    Mutant(
        "a dossier is looked at again after a claim",
        "pipeline.ingest.dossier_resolver",
        "                piece = look.dossiers_to_look_at()",
        "                piece = look.dossiers_to_look_at().slice(0, 0)",
        f"{TIER}test_a_round_resolves_what_waits_and_makes_corrected_hours_due",
    ),
    # ---- levels of the catalogue
    Mutant(
        "a worker asks for the catalogue after its messages are indexed",
        "pipeline.ingest.dossier_resolver",
        "        self._index.add(indexed_rows(rows))",
        "        known = self._index.levels(rows.column('agency').unique().to_pylist())\n"
        "        self._index.add(indexed_rows(rows))\n"
        "        self._index.levels = lambda _agencies: known",
        f"{LEVELS}test_a_worker_asks_for_the_catalogue_after_its_messages_are_indexed",
    ),
    Mutant(
        "whether the catalogue changed is asked each time",
        "sinks.clickhouse.catalogue_levels",
        "if agency not in self._known or self._known[agency].generation != load",
        "if agency not in self._known",
        f"{LEVELS}test_a_load_counts_stored_dossiers_again_and_says_which",
    ),
    Mutant(
        "a newer catalogue is noted beside an older note",
        "pipeline.ingest.level_notes",
        "if current is None or (noted is not None and noted.generation >= current.generation):",
        "if current is None or noted is not None:",
        f"{LEVELS}test_a_load_counts_stored_dossiers_again_and_says_which",
    ),
    Mutant(
        "of several notes the newest one holds, not the last one",
        "sinks.contract.level_notes",
        "if key not in found or found[key] < noted:",
        "if key not in found or found[key] > noted:",
        f"{LEVELS}test_a_worker_with_an_older_catalogue_changes_nothing",
    ),
    Mutant(
        "a dossier is looked at again after its level was noted",
        "pipeline.ingest.dossier_resolver",
        "self._first = self.decision.claim | found.to_note",
        "self._first = self.decision.claim",
        f"{LEVELS}test_a_correction_counts_the_level_note",
    ),
    Mutant(
        "a recount is recorded when all its days are done",
        "pipeline.catalogue.recount",
        "    total, done, found = sum(plan.days.values()), 0, LevelChanges()",
        "    steps.finish(plan.loads)\n    total, done, found = sum(plan.days.values()), 0, LevelChanges()",
        f"{LEVELS}test_a_load_that_broke_off_is_finished_by_the_same_load",
    ),
    Mutant(
        "a recount looks at what changed in every load since the last finished one",
        "sinks.clickhouse.catalogue_recounts",
        '"WHERE known = 0 OR position <= known"',
        '"WHERE position IN (1, known)"',
        f"{LEVELS}test_loads_that_broke_off_are_made_good_by_a_later_one",
    ),
    Mutant(
        "a correction is confirmed only when it is counted",
        "pipeline.ingest.dossier_tier",
        "self._unconfirmed[0][0] <= counted",
        "self._unconfirmed[0][0] <= counted + 1",
        f"{TIER}test_a_correction_is_confirmed_when_it_is_counted",
    ),
    Mutant(
        "messages are indexed after they are stored, and before they are counted",
        "pipeline.ingest.dossier_tier",
        "            return replace(self._resolver.add(rows), stored_at=self.monotonic())",
        "            return TouchedDossiers.of(rows)",
        f"{TIER}test_indexing_is_repeated_while_the_storage_is_unavailable",
    ),
    Mutant(
        "rows that waited are indexed before their dossiers are looked at",
        "pipeline.ingest.dossier_tier",
        "        if dossiers.unindexed:",
        "        if False:",
        f"{TIER}test_small_batches_are_indexed_together",
    ),
    Mutant(
        "a batch is not counted while its dossiers are being resolved",
        "pipeline.ingest.dirty_buckets",
        "(*self._unresolved, *self._resolving)]\n",
        "self._unresolved]\n",
        f"{TIER}test_a_batch_is_not_counted_while_its_dossiers_are_resolved",
    ),
    Mutant(
        "what a correction changes is recounted",
        "pipeline.ingest.dirty_buckets",
        "            self._make_due(corrected, work.batches[0].batch)",
        "            self._make_due({}, work.batches[0].batch)",
        f"{TIER}test_a_round_resolves_what_waits_and_makes_corrected_hours_due",
    ),
    Mutant(
        "a dossier that does not begin with its submission is a suspect",
        "sinks.clickhouse.dossier_index",
        '"bitAnd(first, 1) != 0"',
        '"0"',
        "tests/contract/test_dossier_index.py::test_a_dossier_with_a_claim_is_always_looked_at[embedded]",
    ),
    Mutant(
        "of several decisions about a dossier the last one holds, at equal times by id",
        "domain.exclusions",
        "(decision.decided_at, decision.id.hex)",
        "decision.decided_at",
        "tests/property/test_dossiers.py::test_the_last_decision_holds_in_any_order",
    ),
    Mutant(
        "a correction after a decision saw more than every one before it",
        "domain.dossier_columns",
        "        messages += number\n",
        "        messages += number * 0\n",
        "tests/property/test_dossiers.py::test_columns_follow_the_decisions",
    ),
    Mutant(
        "what a decision changes is recounted before the command returns",
        "pipeline.dossiers.exclusion",
        "        for day, agencies in days.items():\n            self._recount",
        "        for day, agencies in ():\n            self._recount",
        "tests/contract/test_exclusions.py::test_a_dossier_of_two_units_counts_for_neither[memory]",
    ),
    Mutant(
        "a dossier about which an operator decided is a suspect, also after a repair",
        "sinks.contract.dossiers",
        "    flags[status == 0] = CLAIM\n",
        "",
        "tests/contract/test_exclusions.py::test_a_decision_that_waits_survives_a_repair[embedded]",
    ),
    Mutant(
        "a day is the sum of the newest row of each minute (FINAL)",
        "sinks.clickhouse.store",
        'f"FROM {AGENCY_MINUTE} FINAL WHERE',
        'f"FROM {AGENCY_MINUTE} WHERE',
        f"{STORE}test_a_late_recount_is_put_right_by_the_next",
    ),
    Mutant(
        "a civil day begins at 17:00 UTC",
        "sinks.clickhouse.tally_sql",
        "dt.date.fromordinal(ordinal - 1).isoformat()} 17:00:00'",
        "dt.date.fromordinal(ordinal).isoformat()} 00:00:00'",
        "tests/contract/test_store.py::test_a_day_alone_holds_its_hours_and_no_others",
    ),
    Mutant(
        "the day tallies know the civil day",
        "sinks.clickhouse.tally_sql",
        "toDate({column}, 'Asia/Ho_Chi_Minh')",
        "toDate({column}, 'UTC')",
        f"{STORE}test_civil_days_begin_at_seventeen_utc",
    ),
    # ---- dirty buckets
    Mutant(
        "a batch that is due is not counted yet",
        "pipeline.ingest.dirty_buckets",
        "*self._days_in_progress], default=self._batches + 1) - 1",
        "*self._days_in_progress], default=self._batches + 1)",
        f"{DIRTY_BUCKETS}test_a_minute_dirtied_during_its_recount_is_due_again",
    ),
    Mutant(
        "a recount under way is not counted yet",
        "pipeline.ingest.dirty_buckets",
        "return min([*due, *self._minutes_in_progress, *self._days_in_progress]",
        "return min([*due, *self._days_in_progress]",
        f"{DIRTY_BUCKETS}test_a_crash_holds_back_only_what_it_lost",
    ),
    Mutant(
        "a roll-up under way is not counted yet",
        "pipeline.ingest.dirty_buckets",
        "return min([*due, *self._minutes_in_progress, *self._days_in_progress]",
        "return min([*due, *self._minutes_in_progress]",
        f"{DIRTY_BUCKETS}TestDirtyBuckets::runTest",
    ),
    Mutant(
        "dirty buckets know the civil day of an hour",
        "pipeline.ingest.dirty_buckets",
        "return (hour + VIETNAM_OFFSET_MINUTES // 60) // 24",
        "return hour // 24",
        f"{DIRTY_BUCKETS}TestDirtyBuckets::runTest",
    ),
    Mutant(
        "the dirty minutes of two batches are united",
        "pipeline.ingest.dirty_buckets",
        "    entry.minutes |= minutes\n",
        "",
        f"{DIRTY_BUCKETS}test_every_dirty_minute_lies_in_a_span",
    ),
    Mutant(
        "a piece of work waits for its oldest batch",
        "pipeline.ingest.dirty_buckets",
        "entry.first_batch = min(entry.first_batch, batch)",
        "entry.first_batch = batch",
        f"{DIRTY_BUCKETS}TestDirtyBuckets::runTest",
    ),
    # ---- errors
    Mutant(
        "a call that fails with Retryable is repeated",
        "pipeline.ingest.storage_retry",
        "                            self._begin()\n                        raise",
        "                            self._begin()\n                        return None",
        f"{DELIVERY}test_while_the_storage_is_unavailable_nothing_is_acknowledged[insert_events]",
    ),
    Mutant(
        "an unknown error stops, it is not retried",
        "sinks.clickhouse.driver_errors",
        "    return Fatal(text)",
        "    return Retryable(text)",
        "tests/unit/sinks/test_errors.py::test_everything_else_stops",
    ),
    Mutant(
        "every message that is not an event is kept",
        "pipeline.ingest.store_step",
        "dead_letters = [*batch.dead_letters, *refused]",
        "dead_letters = [*batch.dead_letters[1:], *refused]",
        f"{DELIVERY}test_an_unknown_error_stops_without_acknowledging[insert_dead_letters]",
    ),
    Mutant(
        "both halves of refused rows are stored",
        "pipeline.ingest.store_step",
        "                self._insert(rows.slice(half), positions[half:], guard, refused, stored)\n",
        "",
        f"{DELIVERY}test_refused_rows_are_halved_down_to_dead_letters",
    ),
    Mutant(
        "a single refused row becomes a dead letter",
        "pipeline.ingest.store_step",
        "dead_letters = [*batch.dead_letters, *refused]",
        "dead_letters = [*batch.dead_letters]",
        f"{DELIVERY}test_refused_rows_are_halved_down_to_dead_letters",
    ),
    Mutant(
        "the dead-letter limit is checked before anything is stored",
        "pipeline.ingest.store_step",
        "            batch.guard.check()\n",
        "            pass\n",
        f"{DELIVERY}test_the_limit_stops_a_batch_before_anything_of_it_is_stored",
    ),
    Mutant(
        "what the storage refuses counts in the limit",
        "pipeline.ingest.store_step",
        "            guard.reject(int(positions[0]), refused[-1])\n",
        "",
        f"{DELIVERY}test_rows_that_the_storage_refuses_count",
    ),
    Mutant(
        "batches are checked in the order of their messages",
        "pipeline.ingest.dead_letter_guard",
        "            while self._next != number:\n",
        "            while False:\n",
        "tests/unit/pipeline/ingest/test_dead_letter_guard.py::test_a_batch_waits_until_all_before_it_are_finished",
    ),
    Mutant(
        "a restart keeps the run of refusals",
        "pipeline.ingest.dead_letter_guard",
        "count = PartitionCount(checkpoint.run, window, accepted)",
        "count = PartitionCount(0, window, accepted)",
        f"{DELIVERY}test_restarts_do_not_raise_the_limit",
    ),
    Mutant(
        "a redelivered message is counted from its own offset",
        "pipeline.ingest.dead_letter_guard",
        "state = self._state(part.partition, before=part.offset)",
        "state = self._state(part.partition, before=1 << 60)",
        f"{DELIVERY}test_redelivered_messages_are_not_counted_twice",
    ),
    # ---- offsets
    Mutant(
        "no commit passes a fetch that is not acknowledged",
        "pipeline.kafka.reading_progress",
        "while self._waiting and self._waiting[0] in self._acknowledged:",
        "while self._waiting and self._acknowledged:",
        f"{PINS}test_only_unbroken_runs_are_committed",
    ),
    Mutant(
        "an earlier reading acknowledges nothing",
        "pipeline.kafka.reading_progress",
        "if progress is None or progress.begun != begun:",
        "if progress is None:",
        f"{READING}test_another_offset_than_this_workers_is_followed",
    ),
    Mutant(
        "a partition that others read is not read on",
        "pipeline.kafka.reading_progress",
        "<= (committed[partition] or 0) <= end",
        "<= (committed[partition] or 0)",
        f"{READING}test_another_offset_than_this_workers_is_followed",
    ),
    Mutant(
        "a partition that was given away is forgotten",
        "pipeline.kafka.reading_progress",
        "        self._interrupted = {}\n        self._confirmed = {",
        "        self._confirmed = {",
        f"{READING}test_a_partition_that_was_away_is_read_as_committed",
    ),
    Mutant(
        "what was not taken over is handed out again",
        "pipeline.kafka.reading_progress",
        "            progress.interrupt()\n",
        "            pass\n",
        f"{READING}TestGroup",
    ),
    Mutant(
        "nothing is handed out after a seek that a rebalance interrupted",
        "pipeline.kafka.batch_consumer",
        "if epoch != self.progress.epoch:\n                return  # a rebalance",
        "if False:\n                return  # a rebalance",
        f"{PINS}test_a_seek_during_which_a_rebalance_begins_counts_for_nothing",
    ),
    Mutant(
        "a batch that begins before the fetch gives only what was asked for",
        "pipeline.kafka.record_pieces",
        "return [record.value for record in packed][self._unwanted :]",
        "return [record.value for record in packed]",
        f"{PINS}test_a_fetch_may_begin_in_the_middle_of_a_batch",
    ),
    Mutant(
        "an aborted transaction is not counted",
        "pipeline.kafka.record_batches",
        "return bool(packed.is_transactional and packed.producer_id in self._aborted_producers)",
        "return False",
        f"{PINS}test_an_aborted_transaction_is_left_out",
    ),
    Mutant(
        "the end of a transaction is not a message that waits",
        "pipeline.kafka.batch_consumer",
        "total += max(0, end - position)",
        "total += max(0, end - position + 1)",
        f"{PINS}test_the_lag_is_measured_from_the_position_of_the_fetcher",
    ),
    # ---- the watchdog
    Mutant(
        "a suspended process has seen nothing stand still",
        "pipeline.kafka.stall_detector",
        "self._awake += min(now - self._last, self._longest_tick)",
        "self._awake += now - self._last",
        "tests/unit/pipeline/kafka/test_stall_detector.py::test_a_suspended_process_has_seen_nothing_stand_still",
    ),
    Mutant(
        "a worker whose storage is unavailable does not exit",
        "pipeline.kafka.watchdog",
        "if self._steps.budget.full or self._steps.retrying.unavailable_since:",
        "if self._steps.retrying.unavailable_since:",
        "tests/unit/pipeline/kafka/test_watchdog.py::test_while_the_budget_is_full_nothing_needs_to_be_fetched",
    ),
    Mutant(
        "a partition without an answer is noticed beside others that have one",
        "pipeline.kafka.watchdog",
        "self.detector.unchanged_seconds(tp, (vitals.assignment, token))",
        'self.detector.unchanged_seconds("any", tuple(vitals.fetches.values()))',
        "tests/unit/pipeline/kafka/test_watchdog.py::test_one_partition_without_an_answer_ends_the_worker",
    ),
    # ---- decoding
    Mutant(
        "an unforeseen error while one message is validated dead-letters that message",
        "pipeline.decode.validator",
        "            return Rejection(Reason.UNFORESEEN, place_of_error(error))",
        "            raise",
        f"{DELIVERY}test_an_unforeseen_error_dead_letters_one_message",
    ),
    Mutant(
        "a field that may not be kept is not omitted, because the message would get another verdict",
        "pipeline.decode.kept_message",
        "return msgspec.json.encode({name: _kept_value(name, raw) for name, raw in fields.items()})",
        "return msgspec.json.encode({name: value for name, raw in fields.items() if (value := _kept_value(name, raw)) != '?'})",
        "tests/property/test_decode.py::test_every_odd_value_in_every_field",
    ),
    Mutant(
        "bytes are removed whatever the reason of the rejection",
        "sinks.clickhouse.received_bytes",
        "WHERE kept = 'message' AND first_seen <",
        "WHERE kept = 'message' AND reason = 'not_json' AND first_seen <",
        "tests/contract/test_dead_letters.py::test_bytes_are_removed_and_dead_letters_stay[embedded]",
    ),
    Mutant(
        "a batch of which a message was lost or doubled is not stored",
        "pipeline.decode.decoder",
        "    if len(seen) != count or not (seen == 1).all():",
        "    if len(seen) < 0:",
        "tests/property/test_decode.py::test_a_message_lost_or_doubled_in_bulk_stops_the_decoder[positions1]",
    ),
    # ---- serving
    Mutant(
        "a proxy on this machine is not this machine",
        "pipeline.serving.identity",
        "        if _is_proxied(request):",
        "        if not request.method:",
        "tests/unit/pipeline/serving/test_access.py::test_a_request_through_a_proxy_gets_nothing_but_metrics_and_health[Via]",
    ),
    Mutant(
        "an endpoint that nobody declared needs the role operate",
        "pipeline.serving.roles",
        "_UNDECLARED: Final = _CHANGE",
        "_UNDECLARED: Final = _READ",
        "tests/unit/pipeline/serving/test_endpoints.py::test_what_changes_something_needs_the_role_operate",
    ),
    Mutant(
        "who is too far behind gets the newest snapshot",
        "pipeline.board.hub",
        "        if seen < self._number - len(self._ring):",
        "        if seen < 0:",
        "tests/unit/pipeline/board/test_stream.py::test_who_is_too_far_behind_gets_the_newest_snapshot",
    ),
    Mutant(
        'an answer of another shape is not "no alerts"',
        "pipeline.board.alert_sources",
        "    if not isinstance(found, list):",
        "    if not isinstance(found, object):",
        "tests/unit/pipeline/board/test_alert_sources.py::test_a_source_that_does_not_answer[answer2]",
    ),
    Mutant(
        "no scrape is answered with figures that were read long before it",
        "pipeline.serving.single_flight",
        "            if run.began >= asked - self._join_seconds:",
        "            if run.began <= asked:",
        "tests/unit/pipeline/serving/test_single_flight.py::test_an_old_computation_is_not_joined",
    ),
    Mutant(
        "a dropped dead letter that is redelivered counts once",
        "sinks.clickhouse.dead_letter_tallies",
        "AND NOT {is_marked('dropped', where)}) GROUP BY",
        ") GROUP BY",
        "tests/contract/test_dead_letters.py::test_the_counter_is_exact_whatever_happens_to_the_letters[embedded]",
    ),
    Mutant(
        "in the topic of a portal only its own agency is counted, in bulk",
        "pipeline.decode.column_checks",
        "        good &= (owner == ANY_AGENCY) | (owner == units_sent)\n",
        "",
        "tests/property/test_decode.py::test_whose_topic_a_message_came_in",
    ),
    Mutant(
        "of the topics of portals only the deleted one is unread",
        "pipeline.kafka.unread_tracker",
        "                    if tp.topic == topic:\n",
        "                    if topic:\n",
        "tests/unit/pipeline/kafka/test_unread_tracker.py::test_a_topic_that_is_gone_leaves_what_was_not_acknowledged",
    ),
    Mutant(
        "what is in hand of one topic says nothing of another",
        "sinks.clickhouse.due",
        "-1) * {_MOST_PARTITIONS} + partition",
        "-1) * 0 + partition",
        "tests/contract/test_audit.py::TestServer::test_what_is_in_hand_of_several_topics",
    ),
]


def job(folder: Path, tests: list[str], change: Mutant | None = None) -> dict[str, Any]:
    """What tests.mutants.forked needs to run ``tests`` with a change."""
    made = None if change is None else {"module": change.module, "old": change.old, "new": change.new}
    verdicts = str(folder / "verdicts.json")
    environment = {"MUTANT": json.dumps(made), "MUTANT_VERDICTS": verdicts, "HYPOTHESIS_PROFILE": "mutant"}
    return {"tests": tests, "environment": environment}


def verdict(made: dict[str, Any], printed: str, change: Mutant | None = None) -> dict[str, str]:
    """How each of the tests of a job ended: "passed", or the name of what it raised."""
    verdicts = Path(made["environment"]["MUTANT_VERDICTS"])
    assert verdicts.exists(), printed
    found: dict[str, str] = json.loads(verdicts.read_text())
    if change is not None:
        assert found.pop("changed", "") == change.module, f"{change.module} was not imported: {printed}"
    assert found, printed
    return found


def outcomes(jobs: list[dict[str, Any]]) -> Iterator[tuple[int, str]]:
    """Run jobs on all cores; yields the place of each in the list, as it ends, and what it printed."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.mutants.forked"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            process.stdin.write("".join(json.dumps({"number": number, **each}) + "\n" for number, each in enumerate(jobs)))
            process.stdin.close()
            for line in process.stdout:
                ended = json.loads(line)
                yield ended["number"], ended["printed"]
        finally:
            with suppress(ProcessLookupError):  # all have ended
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def verdicts(request, tmp_path_factory):
    """A function that waits for how the named test of each chosen mutant ends; all of them run side by side."""
    mine = [item for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
    chosen = [item.callspec.params["mutant"] for item in mine]
    jobs = [job(tmp_path_factory.mktemp("mutant"), [each.test], each) for each in chosen]
    running, printed = outcomes(jobs), {}

    def of(mutant):
        number = chosen.index(mutant)
        while number not in printed:
            printed.update([next(running)])
        return verdict(jobs[number], printed[number], mutant)

    yield of
    running.close()


def of_the_fast_run(mutants):
    """The first mutant of every third module; the long run has all of every module."""
    first_of_each = {mutant.module: mutant for mutant in reversed(mutants)}
    return [first_of_each[module] for module in sorted(first_of_each)[::3]]


@pytest.mark.parametrize(
    "mutant",
    [pytest.param(each, marks=() if each in of_the_fast_run(MUTANTS) else pytest.mark.long) for each in MUTANTS],
    ids=lambda mutant: mutant.rule,
)
def test_a_broken_rule_is_noticed(mutant, verdicts):
    """The named test fails by an assertion when the line that keeps the rule is changed."""
    found = verdicts(mutant)
    raised = {name for ended in found.values() for name in ended.split(",")} - {"passed"}
    assert raised, f"no test noticed: {mutant.rule}"
    assert raised <= {"AssertionError", "Failed"}, f"the mutant does not run, so it proves nothing: {found}"


@pytest.mark.timeout(1_800)  # many tests in one
def test_the_named_tests_pass_unmutated(request, tmp_path):
    """The control: every test named here for a mutant of this run exists and passes with the source as it is.

    Those that this run has collected say so themselves, so only the others are run here.
    """
    mutants = MUTANTS if request.config.getoption("--long") else of_the_fast_run(MUTANTS)
    collected = {part for item in request.session.items for part in (item.nodeid, item.nodeid.partition("[")[0])}
    others = {mutant.test for mutant in mutants} - collected
    if others:
        made = job(tmp_path, sorted(others))
        [(_, printed)] = outcomes([made])
        found = verdict(made, printed)
        assert {node: ended for node, ended in found.items() if ended != "passed"} == {}
