"""Profiles and permissions of the database user: none changes a figure without an error, and reading needs no write access."""

from __future__ import annotations

import datetime as dt
import itertools
import logging
import re
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from xml.sax.saxutils import escape

import clickhouse_connect
import pyarrow as pa
import pytest
import structlog
from clickhouse_connect.driver.exceptions import DatabaseError

from deploy.native.services.clickhouse_server import ClickHouseServer
from domain.agencies import AgencyRegistry
from domain.catalogue import CatalogueEntry
from domain.dossier_milestones import milestones_of
from domain.dossiers import judge
from domain.errors import UnavailableError
from domain.figure_group import Grouping
from domain.figure_groups import GROUPS
from domain.periods import Period, civil_day
from domain.tiers import Tier
from pipeline.audit.dossier_check import check_share
from pipeline.audit.in_hand import InHand
from pipeline.cli import main as cli
from pipeline.findings.service import FindingService
from pipeline.ingest.dossier_resolver import DossierResolver
from pipeline.settings import load_settings
from pipeline.wiring.storage import opened_storage
from sinks.clickhouse import pinned_settings
from sinks.clickhouse.audit import ClickHouseAudit
from sinks.clickhouse.catalogue_store import ClickHouseCatalogue
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.dead_letter_store import ClickHouseDeadLetters
from sinks.clickhouse.dossier_audit import ClickHouseDossierAudit
from sinks.clickhouse.dossier_figures import ClickHouseDossierFigures
from sinks.clickhouse.dossier_index import ClickHouseDossierIndex
from sinks.clickhouse.dossier_reader import ClickHouseDossierReader
from sinks.clickhouse.dossier_table import ClickHouseDossierTable
from sinks.clickhouse.exclusions import ClickHouseExclusions
from sinks.clickhouse.finding_reader import ClickHouseFindingReader
from sinks.clickhouse.migrate import migrate, packaged_migrations
from sinks.clickhouse.pinned_settings import READS, WRITES
from sinks.clickhouse.reader import ClickHouseReader
from sinks.clickhouse.repair import ClickHouseRepair
from sinks.clickhouse.store import ClickHouseStore
from sinks.clickhouse.target import Target
from sinks.contract.audit import HashShard
from sinks.contract.dead_letters import DeadLetter, DeadLetterFilter
from sinks.contract.dossier_audit import DossierSelection
from sinks.contract.dossier_figures import FigureQuestion
from sinks.contract.dossier_table import rows_of as dossier_rows
from sinks.contract.events import UnreadCause, UnreadRange
from sinks.contract.findings import FindingScope
from sinks.contract.tallies import Days, Span
from sinks.errors import Fatal
from sinks.tables import DOSSIER_EXCLUSIONS, DOSSIER_MESSAGES, SCHEMA_MIGRATIONS
from tests.contract.one_message import stored_message
from tests.database_state import state
from tests.factories import MORNING, TOPIC, an_event, rows_of

pytestmark = pytest.mark.integration  # a server with users of its own

#: Profiles with settings that would change an answer. A new pinned setting needs one line here.
HOSTILE = {
    "limit": {"limit": "20"},
    "offset": {"offset": "2"},
    "page": {"page": "2", "limit": "20"},
    "clauses": {"select": "1", "filter": "0", "order": "1", "sort": "1"},
    "read": {"max_rows_to_read": "60", "max_bytes_to_read": "900", "read_overflow_mode": "break"},
    "read on a leaf": {"max_rows_to_read_leaf": "60", "max_bytes_to_read_leaf": "900", "read_overflow_mode_leaf": "break"},
    "group": {"max_rows_to_group_by": "5", "group_by_overflow_mode": "any"},
    "sort": {"max_rows_to_sort": "5", "max_bytes_to_sort": "90", "sort_overflow_mode": "break"},
    "result": {"max_result_rows": "5", "max_result_bytes": "90", "result_overflow_mode": "break"},
    "distinct": {"max_rows_in_distinct": "1", "max_bytes_in_distinct": "1", "distinct_overflow_mode": "break"},
    "set": {"max_rows_in_set": "1", "max_bytes_in_set": "1", "set_overflow_mode": "break"},
    "join": {"max_rows_in_join": "1", "max_bytes_in_join": "1", "join_overflow_mode": "break"},
    "transfer": {"max_rows_to_transfer": "1", "max_bytes_to_transfer": "1", "transfer_overflow_mode": "break"},
    "time": {"timeout_overflow_mode": "break", "timeout_overflow_mode_leaf": "break", "partial_result_on_first_cancel": "1"},
    "partitions": {"max_partitions_to_read": "1"},
    "no data": {"discard_query_data": "1"},
    "in the background": {"run_query_in_background": "1"},
    "other formats": {"format": "CSV", "output_format": "Null", "input_format": "CSV", "framing_output_format": "JSON"},
    "headers of answers": {"http_response_headers": "{'X-ClickHouse-Summary': '{}', 'X-ClickHouse-Exception-Code': '0'}"},
    "distributed plan": {"make_distributed_plan": "1"},
    "filters": {
        "additional_table_filters": "{'whole.dossier_messages': 'status != 9', 'written.dossier_messages': 'status != 9', "
        "'whole.agency_day': 'events > 8', 'written.agency_day': 'events > 8'}"
    },
    "result filter": {"additional_result_filter": "0"},
    "final": {"final": "1", "inject_random_order_for_select_without_order_by": "1"},
    "implicit table": {"implicit_table_at_top_level": "whole.agency_day"},
    "deleted rows": {"apply_deleted_mask": "0", "lightweight_deletes_sync": "0", "apply_patch_parts": "0"},
    "old answers": {"use_query_cache": "1", "query_cache_min_query_runs": "0", "ignore_cold_parts_seconds": "3600"},
    "shards": {
        "skip_unavailable_shards": "1",
        "max_skip_unavailable_shards_num": "9",
        "max_skip_unavailable_shards_ratio": "1",
        "distributed_group_by_no_merge": "1",
        "enable_parallel_replicas": "1",
        "automatic_parallel_replicas_mode": "1",
        "parallel_replicas_count": "2",
        "parallel_replica_offset": "1",
        "parallel_replicas_custom_key": "1",
    },
    "transaction": {"implicit_transaction": "1"},
    "before final": {
        "optimize_move_to_prewhere_if_final": "1",
        "apply_prewhere_after_final": "1",
        "use_skip_indexes_if_final_exact_mode": "0",
        "optimize_using_constraints": "1",
        "optimize_trivial_approximate_count_query": "1",
    },
    "forced index": {"force_primary_key": "1", "force_index_by_date": "1", "force_optimize_projection": "1"},
    "dialect": {"allow_experimental_kusto_dialect": "1", "dialect": "kusto"},
    "names": {
        "prefer_column_name_to_alias": "1",
        "enable_global_with_statement": "0",
        "enable_positional_arguments": "0",
        "union_default_mode": "DISTINCT",
        "enable_named_columns_in_function_tuple": "1",
        "count_distinct_implementation": "uniqHLL12",
    },
    "nulls": {
        "transform_null_in": "1",
        "join_use_nulls": "1",
        "group_by_use_nulls": "1",
        "cast_keep_nullable": "1",
        "data_type_default_nullable": "1",
        "least_greatest_legacy_null_behavior": "1",
    },
    "empty sums": {"aggregate_functions_null_for_empty": "1"},
    "empty answers": {
        "empty_result_for_aggregation_by_empty_set": "1",
        "empty_result_for_aggregation_by_constant_keys_on_empty_set": "0",
    },
    "times": {
        "session_timezone": "America/Lima",
        "date_time_overflow_behavior": "throw",
        "enable_extended_results_for_datetime_functions": "1",
        "formatdatetime_format_without_leading_zeros": "1",
        "formatdatetime_f_prints_single_zero": "1",
        "formatdatetime_parsedatetime_m_is_month_name": "0",
        "date_time_output_format": "unix_timestamp",
    },
    "forms": {
        "extremes": "1",
        "http_wait_end_of_query": "1",
        "low_cardinality_allow_in_native_format": "0",
        "output_format_native_encode_types_in_binary_format": "1",
        "output_format_json_array_of_rows": "1",
        "output_format_json_quote_64bit_integers": "1",
        "output_format_json_validate_utf8": "1",
        "output_format_schema": "x",
        "http_write_exception_in_output_format": "1",
    },
    "compatibility": {"compatibility": "21.8"},
    # Each of these two alone makes the audit's statements fail, so they are not in one profile.
    "analyzer": {"enable_analyzer": "0"},
    "analyzer by its older name": {"allow_experimental_analyzer": "0"},
    "scopes": {"enable_scopes_for_with_statement": "0"},
    "like the old analyzer": {
        "analyzer_compatibility_join_using_top_level_identifier": "1",
        "analyzer_compatibility_prefer_alias_over_subcolumn": "1",
        "analyzer_compatibility_apply_final_to_all_joined_tables": "1",
    },
    "joins": {"join_default_strictness": "ANY"},
    "rewritten": {"rewrite_in_to_join": "1"},
    "order by all": {"enable_order_by_all": "0"},
    "arrow": {
        "output_format_arrow_unsupported_types_as_binary": "0",
        "output_format_arrow_fixed_string_as_fixed_byte_array": "0",
        "output_format_arrow_string_as_string": "0",
        "output_format_arrow_date_as_uint16": "1",
        "output_format_arrow_uuid_as_fixed_byte_array": "1",
    },
    "deletions": {"enable_lightweight_delete": "0", "lightweight_delete_mode": "lightweight_update_force"},
    "nothing to merge": {"optimize_throw_if_noop": "1"},
    "late inserts": {"async_insert": "1", "wait_for_async_insert": "0", "async_insert_busy_timeout_max_ms": "20000"},
    "rows omitted": {
        "input_format_connection_handling": "1",
        "input_format_allow_errors_num": "1000",
        "input_format_allow_errors_ratio": "1",
        "input_format_record_errors_file_path": "errors",
        "input_format_skip_unknown_fields": "1",
        "input_format_null_as_default": "1",
        "input_format_force_null_for_omitted_fields": "1",
        "input_format_defaults_for_omitted_fields": "0",
        "input_format_arrow_case_insensitive_column_matching": "1",
        "input_format_values_interpret_expressions": "0",
        "insert_null_as_default": "1",
    },
    "one insert of two": {
        "insert_deduplicate": "1",
        "insert_deduplication_token": "same",
        "deduplicate_insert": "enable",
        "deduplicate_insert_select": "enable_when_possible",
    },
}
#: Every setting of the above in one profile: one test finds that a setting is not pinned, the long ones which.
ALL_AT_ONCE = "all at once"
HOSTILE[ALL_AT_ONCE] = {name: value for settings in list(HOSTILE.values()) for name, value in settings.items()}
#: Profiles that forbid changes of settings, and the setting that the error names.
FORBIDDING = {
    "at least": ("<limit>5</limit><constraints><limit><min>5</min></limit></constraints>", "limit"),
    "fixed": (
        "<read_overflow_mode>break</read_overflow_mode><constraints><read_overflow_mode><const/></read_overflow_mode></constraints>",
        "read_overflow_mode",
    ),
    "reads only": ("<readonly>1</readonly><max_rows_to_group_by>5</max_rows_to_group_by>", "max_rows_to_group_by"),
}
#: Settings with suspicious names that change no answer of portalpulse: costs, hints, unused formats.
HARMLESS = re.compile(
    r"max_bytes_before_|max_bytes_ratio_|max_rows_in_set_to_optimize_join|_for_lazy_final|max_partitions_per_insert_block"
    r"|schema_inference|input_format_(parallel|with_|import|allow_seeks|custom|try_infer|values|avro|binary|native|geojson|max_block)"
    r"|input_format_(csv|tsv|json|parquet|orc|hive|msgpack|mysql|bson|capn|protobuf|npy|regexp|ipv)"
    r"|input_format_(column_name_matching_mode|arrow_(allow_missing_columns|skip_columns))|_null_(representation|default|value)"
    r"|optimize_skip_unused_shards|force_(aggregat|remove|grouping|data_skipping_indices|optimize_projection_name)"
    r"|ignore_(format_null|on_cluster|data_skipping|materialized|drop)|apply_(row_policy|settings|patch_parts_join|mutations)"
    r"|^(do_not_merge|split_|use_skip_indexes_if_final|defer_partition|enable_(vertical|automatic|optimize_predicate)|finalize_)"
    r"|max_final_threads|query_plan_optimize_lazy_final|analyzer_compatibility|async_insert_dedup|deduplicate_blocks_in"
    r"|query_dedup|insert_select_dedup|arrow_(import|use_native)|update_insert_dedup|dependent_materialized|skip_unavailable_shards_mode|formatdatetime_(f_prints_scale|e_with)|iceberg|max_partitions_per"
    r"|force_(creating|distinct|window|read_through|write_through)|optimize_read_in_reverse|arrow_record_batch|format_read_datetime_number"
    r"|^allow_experimental_analyzer$|lightweight_(update|mutation)|output_format_arrow_(compression|low_card|parallel|use_|variant)"
)
SUSPICIOUS = re.compile(
    r"overflow_mode|^max_(rows|bytes|result|partitions)_|^(limit|offset|page|filter)$|^force_|unavailable|final|^apply_|^additional_"
    r"|^ignore_|^use_query_cache$|partial_result_on|dedup|date_time_o|session_timezone|formatdatetime|^input_format_|deleted|^discard"
    r"|_for_empty|implicit_t|^(enable|allow_experimental)_analyzer|analyzer_compat|_scopes_|join_default|order_by_all|_arrow_"
    r"|optimize_throw|^lightweight|enable_lightweight|in_background|^(framing_)?(input_|output_)?format$|^make_distributed|response_headers"
)

DAYS = [MORNING + dt.timedelta(days=days) for days in (0, 40, 70)]
FIRST, LAST = civil_day(DAYS[0]), civil_day(DAYS[-1])
EVENTS = [
    an_event(
        agency=f"H{number % 26 + 1:02d}",
        dossier_code=f"000.00.12.H{number % 26 + 1:02d}-240610-{number:04d}",  # the same on each day, so there are corrections
        occurred_at=day + dt.timedelta(minutes=number % 5),
        status=(1, 9, 9, 3)[number % 4],
    )
    for day in DAYS
    for number in range(52)
]
CODE = EVENTS[0].dossier_code
SCOPE, SHARD = FindingScope(Period(FIRST, LAST)), HashShard(0, 1)
LETTERS = [DeadLetter(TOPIC, number % 4, number, b"k", b"\xff", f"reason_{number % 3}", "e") for number in range(40)]
#: Entries of three agencies, with and without every field that may be missing, in the order in which they are read.
CATALOGUE = sorted(
    (
        CatalogueEntry(
            f"H{number % 3 + 1:02d}",
            f"1.{number:06d}",
            FIRST + dt.timedelta(days=number),
            LAST + dt.timedelta(days=number) if number % 2 else None,
            name="Cấp đất" if number % 5 else "",
            service_level=("toan_trinh", "mot_phan", "")[number % 3],
            legacy_level=number % 5,
            eligible=(None, True, False)[number % 3],
            longest_days=number if number % 4 else None,
        )
        for number in range(80)
    ),
    key=lambda entry: (entry.agency, entry.procedure_code),
)
#: Messages that an audit looks up: three with a stored event, a dead letter, and two that are not stored.
MESSAGES = pa.table(
    {
        "topic": [TOPIC] * 6,
        "partition": [7, 7, 7, 0, 7, 7],
        "offset": [1, 2, 3, 0, 5, 6],
        "agency": [*(event.agency for event in EVENTS[:3]), None, None, "H01"],
        "occurred_at": pa.array([*(event.occurred_at for event in EVENTS[:3]), None, None, DAYS[0]], pa.timestamp("ms", "UTC")),
        "event_id": [*(str(event.event_id) for event in EVENTS[:3]), None, None, "00000000-0000-0000-0000-0000000000ff"],
    }
)
_known: set[str] = set()
#: A user and a database, in which a policy hides messages from the user.
LATE = "late"
#: A quota that the first statement exhausts.
_SPENT = "<spent><interval><duration>3600</duration><queries>1</queries></interval></spent>"


def users_file(known):
    """The users of this file; settings that this release lacks are omitted."""
    bodies = {
        name: "<max_block_size>10</max_block_size>"
        + "".join(f"<{key}>{escape(value)}</{key}>" for key, value in settings.items() if key in known)
        for name, settings in HOSTILE.items()
    } | {name: body for name, (body, _) in FORBIDDING.items()}
    bodies |= {
        "default": "",
        "reader": "<readonly>1</readonly>",
        "chooser": "<readonly>2</readonly><limit>20</limit>",
        "veiled": "",
        "blinded": "",
        "hasty": "<max_execution_time>0.001</max_execution_time>",
    }
    bodies |= {LATE: "", "spent": ""}
    names = {name: name.replace(" ", "_") for name in bodies}
    extra = {
        "veiled": "<databases><whole><agency_minute><filter>agency != 'H01'</filter></agency_minute></whole></databases>",
        "blinded": "<databases><whole><agency_minute><filter>0</filter></agency_minute></whole></databases>",
        LATE: f"<databases><{LATE}><{DOSSIER_MESSAGES}><filter>0</filter></{DOSSIER_MESSAGES}></{LATE}></databases>",
        "reader": "<grants><query>GRANT SELECT ON whole.*</query><query>GRANT SELECT ON system.parts</query></grants>",
    }
    profiles = "".join(f"<{names[name]}>{body}</{names[name]}>" for name, body in bodies.items())
    users = "".join(
        f"<{user}><password/><networks><ip>127.0.0.1</ip></networks><profile>{user}</profile>"
        f"<quota>{'spent' if name == 'spent' else 'default'}</quota>"
        f"{extra.get(name, '')}</{user}>"
        for name, user in names.items()
    )
    return f"<clickhouse><profiles>{profiles}</profiles><quotas><default/>{_SPENT}</quotas><users>{users}</users></clickhouse>"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server with every user of this file and two databases: ``whole`` with all data, and ``written`` without any."""
    folder = tmp_path_factory.mktemp("hostile")
    users, config = folder / "users.xml", folder / "config.xml"
    config.write_text(f"<clickhouse><users_config>{users}</users_config></clickhouse>", encoding="utf-8")
    server = ClickHouseServer(data_dir=folder / "data", log_dir=folder, options=[f"--config-file={config}"])
    users.write_text(users_file(set()), encoding="utf-8")
    server.start()
    _known.update(server.query("SELECT name FROM system.settings").splitlines())
    server.stop()
    users.write_text(users_file(_known), encoding="utf-8")
    server.start()
    for database in ("whole", "written"):
        with connected(server, "default", database) as clickhouse:
            migrate(clickhouse)
            if database == "whole":
                write(clickhouse)
    yield server
    server.stop()


def address(server, user, database):
    """The address of a database for a user."""
    return f"http://{user.replace(' ', '_')}@127.0.0.1:{server.http_port}/{database}"


class connected:  # noqa: N801 - used as a function
    """A client of a user, closed at the end."""

    def __init__(self, server, user, database):
        self.clickhouse = ClickHouse(Target.parse(address(server, user, database), timeout=60))

    def __enter__(self):
        return self.clickhouse

    def __exit__(self, *_):
        self.clickhouse.close()


def write(clickhouse):
    """Write everything that a worker writes, in several inserts, and drop some dead letters like an operator."""
    store = ClickHouseStore(clickhouse)
    resolver = DossierResolver(ClickHouseDossierIndex(clickhouse))
    for part in range(3):
        rows = rows_of(EVENTS[part::3], offset=part * 1_000)
        store.insert_events(rows)
        resolver.confirm(resolver.resolve(resolver.add(rows)))
    clickhouse.command(
        "test",
        f"INSERT INTO {DOSSIER_EXCLUSIONS} (dossier_code, decided_at, id, excluded, reason, name) VALUES ('{CODE}', "
        f"'2024-06-11 01:00:00.000', '{uuid.UUID(int=1)}', true, 'a test', 'a name')",
    )
    resolver.confirm(resolver.resolve(resolver.add_decisions(CODE, ClickHouseExclusions(clickhouse).decisions(CODE))))
    for part in range(2):
        store.insert_dead_letters(LETTERS[part::2])
    minutes = sorted({event.occurred_at.replace(second=0, microsecond=0) for event in EVENTS})
    for _, group in itertools.groupby(minutes, key=lambda minute: minute.date()):
        first, *_, last = group
        store.recount_minutes(Span(first, last + dt.timedelta(minutes=1)))
    days = Days(tuple(civil_day(day) for day in DAYS))
    store.roll_up_days(days)
    store.recount_procedures(days)
    for _ in range(2):  # the second time there is nothing to merge
        ClickHouseRepair(clickhouse).purge_superseded(Tier.DAY, days.days)
    store.insert_unread([UnreadRange(TOPIC, partition, 0, 5, "group", UnreadCause.DELETED) for partition in range(3)])
    dead_letters = ClickHouseDeadLetters(clickhouse)
    dead_letters.mark_replayed(LETTERS[3:5])
    assert dead_letters.drop(DeadLetterFilter(reasons=("reason_2",))) == 13
    for seen in (1, 2):  # the rows of a dossier in two inserts, of which the later counts
        judged = {
            number.to_bytes(16, "little"): milestones_of(judge([event]), seen=seen) for number, event in enumerate(EVENTS[::seen])
        }
        ClickHouseDossierTable(clickhouse).write(dossier_rows(judged, judged_at=DAYS[0]))
    catalogue = ClickHouseCatalogue(clickhouse)
    assert len(catalogue.load(CATALOGUE[:60]).changes) == 60
    assert len(catalogue.load(CATALOGUE[60:], add=True).changes) == 20


def read(clickhouse):
    """Every answer from which figures, audits and exports are made."""
    reader, dead_letters, audit = ClickHouseReader(clickhouse), ClickHouseDeadLetters(clickhouse), ClickHouseAudit(clickhouse)
    end = DAYS[-1] + dt.timedelta(hours=1)
    days = [civil_day(day) for day in DAYS]
    return {
        "minutes": reader.counts_between(DAYS[0], end),
        "steps": reader.counts_by_step(FIRST, LAST, 3_600),
        "days": reader.counts_of_days(FIRST, LAST),
        "last events": reader.last_events(end),
        "last events by the minute": reader.last_events(DAYS[-1] + dt.timedelta(seconds=30)),
        "totals": reader.totals(),
        "reasons": reader.dead_letters_by_reason(),
        "arrivals": reader.arrivals(dt.timedelta(hours=1)),
        "agencies of letters": reader.dead_letter_agencies(dt.timedelta(hours=1)),
        "events": b"".join(reader.events(FIRST, LAST, None)),
        "some events": b"".join(reader.events(FIRST, LAST, ["H01", "H02"])),
        "letters": dead_letters.dead_letters(DeadLetterFilter(), limit=1_000),
        "all letters": dead_letters.counts(DeadLetterFilter(replayed=True)),
        "page": [entry.position for entry in dead_letters.entries(DeadLetterFilter(reasons=("reason_0",)), limit=8)],
        "replayed": [e.position for e in dead_letters.entries(DeadLetterFilter(replayed=True), limit=99) if e.replayed_at],
        "civil days": audit.civil_days(),
        "recently stored days": audit.recently_stored_days(dt.timedelta(hours=1)),
        "compared": [audit.compare(tier, day, settle=dt.timedelta(0), limit=100) for tier in Tier for day in days[::2]],
        "contradictions": audit.contradictions(days[0], limit=5),
        "reused ids": audit.reused_event_ids(None, SHARD, limit=5),
        "positions": audit.newest_positions(TOPIC),
        "missing": audit.missing(MESSAGES),
        "catalogue": ClickHouseCatalogue(clickhouse).entries(),
        "procedures": reader.counts_of_procedures(["H17", "H18"], FIRST, LAST),
        "services": reader.services_with_dossiers(FIRST, LAST),
        "active days": {agency: active.tolist() for agency, active in reader.active_days(FIRST, LAST).items()},
        "events by day": reader.events_by_day(),
        "unread": audit.unread(TOPIC),
        "dossiers": check_share(
            ClickHouseDossierAudit(clickhouse), DossierSelection(SHARD, (FIRST, LAST)), settle=dt.timedelta(0), in_hand=InHand()
        ),
        "figures": {
            group: ClickHouseDossierFigures(clickhouse).counts(group, FigureQuestion(SCOPE.period, LAST, Grouping.PROCEDURE))
            for group in GROUPS
        },
        "findings": FindingService(ClickHouseFindingReader(clickhouse), AgencyRegistry.packaged()).found(SCOPE, SHARD),
        "messages of dossiers": {
            code: sorted(map(str, messages))
            for code, messages in ClickHouseDossierReader(clickhouse).messages_of([CODE, EVENTS[1].dossier_code]).items()
        },
        "messages of a dossier": sorted(map(str, ClickHouseDossierReader(clickhouse).messages(CODE))),
        "excluded": ClickHouseExclusions(clickhouse).excluded(),
    }


@pytest.fixture(scope="module")
def whole(server):
    """The answers for a user without a profile."""
    with connected(server, "default", "whole") as clickhouse:
        found = read(clickhouse)
    assert found["totals"].stored == found["totals"].tallied == len(EVENTS)
    assert found["events"].count(b"\n") == len(EVENTS)
    assert len(found["days"]) == 26
    assert found["missing"] == [(7, 5), (7, 6)]
    assert sum(found["all letters"].values()) == len(found["letters"]) + 2 == 27
    assert list(found["catalogue"]) == CATALOGUE
    assert all(found["figures"][group] for group in ("balance", "refused", "settled-due", "due-766", "channels"))
    return found


@pytest.mark.parametrize(
    "profile", [pytest.param(name, marks=() if name == ALL_AT_ONCE else pytest.mark.long) for name in HOSTILE]
)
def test_a_profile_shortens_nothing(server, whole, profile):
    """With any profile all tallies, reads, audits and exports are those of a user without one."""
    with connected(server, profile, "whole") as clickhouse:
        assert read(clickhouse) == whole
    with connected(server, "default", "written") as plain:
        for table in server.query("SHOW TABLES FROM written").splitlines():
            if table != SCHEMA_MIGRATIONS:
                plain.command("test", f"TRUNCATE TABLE {table}")
        with connected(server, profile, "written") as clickhouse:
            assert migrate(clickhouse) == ()
            write(clickhouse)
        assert read(plain) == whole


def test_every_pinned_setting_has_a_hostile_profile():
    """Every pinned setting is tested with another value."""
    tried = {name: value for settings in HOSTILE.values() for name, value in settings.items()}
    assert READS.keys() | WRITES.keys() <= tried.keys()
    assert not {name for name, value in (READS | WRITES).items() if tried[name] == value}


def embedded_settings():
    """The settings of the embedded engine, asked in a process of its own: one process uses one folder."""
    code = "import chdb; print(chdb.query('SELECT name FROM system.settings', 'TSV'))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=300)
    return set(done.stdout.split())


@pytest.mark.parametrize("release", ["server", "embedded"])
def test_every_setting_of_this_release_is_pinned_or_known_to_be_harmless(server, release):
    """A release with a new setting whose name suggests that it shortens an answer fails here until it is classified.

    The embedded engine is of a later release than the server here: it has the settings of servers to come.
    """
    names = _known if release == "server" else embedded_settings()
    assert "max_threads" in names
    pinned = READS.keys() | WRITES.keys()
    assert not {name for name in names - pinned if SUSPICIOUS.search(name) and not HARMLESS.search(name)}


@pytest.mark.parametrize("profile", FORBIDDING)
def test_a_profile_that_forbids_our_settings_is_refused(server, profile):
    """A profile that forbids a pinned setting is refused with the first statement; the error names the setting."""
    with connected(server, profile, "whole") as clickhouse, pytest.raises(Fatal) as refused:
        clickhouse.rows("ping", "SELECT 1")
    assert f"{FORBIDDING[profile][1]}" in str(refused.value)
    assert "profile" in str(refused.value)


def test_a_reader_needs_only_to_read(server, whole):
    """A user with only SELECT and readonly = 1 reads everything and writes nothing."""
    with connected(server, "reader", "whole") as clickhouse:
        assert read(clickhouse) == whole
        with pytest.raises(Fatal):
            ClickHouseStore(clickhouse).recount_minutes(Span(DAYS[0], DAYS[0] + dt.timedelta(minutes=1)))


@pytest.mark.long
def test_a_reader_may_choose_settings(server, whole):
    """So does one with readonly = 2, whose profile limits rows."""
    with connected(server, "chooser", "whole") as clickhouse:
        assert read(clickhouse) == whole


def test_settings_that_do_not_arrive_are_noticed(server, monkeypatch):
    """A proxy that removes settings from requests is refused; the error names a removed setting."""
    with connected(server, "group", "whole") as clickhouse:
        pool, send = clickhouse._server.pool, clickhouse._server.pool.urlopen

        def without_one(method, url, *more, **named):
            settings = pool.settings
            pool.settings = {name: value for name, value in settings.items() if name != "group_by_overflow_mode"}
            try:
                return send(method, url, *more, **named)
            finally:
                pool.settings = settings

        monkeypatch.setattr(pool, "urlopen", without_one)
        with pytest.raises(Fatal, match="setting group_by_overflow_mode is 'any'"):
            clickhouse.rows("ping", "SELECT 1")


def test_threads_that_connect_at_once_may_meet_the_same_unknown_setting(server, monkeypatch):
    """Every thread is told that this release lacks a setting before any of them omits it; all connect, and every pin is sent."""
    threads, connect, met = 6, clickhouse_connect.get_client, threading.local()
    told = threading.Barrier(threads, timeout=60)

    def refused_together(**options):
        try:
            return connect(**options)
        except DatabaseError:
            if not hasattr(met, "before"):
                met.before = True
                told.wait()
            raise

    monkeypatch.setattr(clickhouse_connect, "get_client", refused_together)
    with connected(server, "group", "whole") as clickhouse, ThreadPoolExecutor(threads) as pool:
        clickhouse._server.pool.settings = {**READS, "a_setting_of_another_release": "1"}
        asked = "SELECT getSetting('group_by_overflow_mode')"
        assert list(pool.map(lambda _: clickhouse.rows("ping", asked), range(threads))) == [[("throw",)]] * threads
        assert not told.broken
        assert clickhouse._server.pool.settings == {key: value for key, value in (READS | WRITES).items() if key in _known}


# ---- answers that are shortened in spite of this


def test_an_answer_that_is_cut_all_the_same_is_refused(server, monkeypatch):
    """Even without the pinned settings a shortened answer is an error, never a figure."""
    for pinned in (pinned_settings.READS, pinned_settings.WRITES):
        for name in list(pinned):
            monkeypatch.delitem(pinned, name)
    with connected(server, "limit", "whole") as clickhouse:
        reader = ClickHouseReader(clickhouse)
        for action in (
            lambda: reader.counts_between(DAYS[0], DAYS[-1] + dt.timedelta(hours=1)),
            lambda: reader.counts_of_days(FIRST, LAST),
            lambda: reader.last_events(DAYS[-1] + dt.timedelta(hours=1)),
        ):
            with pytest.raises(Fatal, match="only 20 of 26 rows"):
                action()
        came = []
        with pytest.raises(Fatal, match=f"Only 20 of {len(EVENTS)} events"):
            came.extend(reader.events(FIRST, LAST, None))
        assert came


@pytest.mark.usefixtures("whole")
def test_a_server_that_refuses_for_now_is_no_server_that_is_away(server, run):
    """A quota or limit that stops a command at startup is reported as such, without advice to start the server."""
    for _ in range(2):
        code, _, errors = run("spent", "whole", "audit")
        assert code == 2
        assert "answers but refuses for now: Code: 201" in errors
        assert "give this user a higher quota" in errors
        assert "Start it" not in errors


@pytest.mark.usefixtures("whole")
def test_a_limit_on_time_is_named(server, run):
    """A statement that takes too long ends with the limit, also when the answer had begun and is broken off without a code."""
    for _ in range(5):
        code, _, errors = run("hasty", "whole", "audit")
        assert code == 2
        assert "TIMEOUT_EXCEEDED" in errors or "max_execution_time" in errors
        assert "does not answer" not in errors


@pytest.mark.parametrize("user", ["veiled", "blinded"])
def test_hidden_rows_are_refused(server, monkeypatch, user):
    """A row policy that hides rows from the user is refused before a figure is read; the error names the table."""
    monkeypatch.setenv("PORTALPULSE_CLICKHOUSE__URL", address(server, user, "whole"))
    with (
        pytest.raises(UnavailableError, match="a row policy hides rows of the table agency_minute"),
        opened_storage(load_settings()),
    ):
        raise AssertionError


class LatePolicy:
    """An ``EventStore`` of a user, and from the end of one of its calls on of another user, from whom a row policy hides rows.

    The servers of the tests know only the policies that they were started with.
    """

    def __init__(self, before, after, comes_with):
        self._current, self._after, self._comes_with = ClickHouseStore(before), ClickHouseStore(after), comes_with

    def __getattr__(self, name):
        def call(*arguments):
            getattr(self._current, name)(*arguments)
            if name == self._comes_with:
                self._current = self._after

        return call


def recount_every_tier(recounter):
    """One round of each tier; the last one acknowledges."""
    recounter.minutes_round()
    recounter.days_round()
    recounter.procedures_round()


@pytest.mark.parametrize("call", ["insert_events", "recount_minutes", "roll_up_days", "recount_procedures"])
def test_a_policy_that_comes_while_a_worker_runs_is_noticed_before_the_acknowledgement(server, registry, call):
    """After whichever step of a fetch a row policy comes, before the first or after the last recount, nothing is acknowledged."""
    user = database = LATE
    acknowledged = []
    with connected(server, "default", database) as plain, connected(server, user, database) as veiled:
        migrate(plain)
        steps = stored_message(LatePolicy(plain, veiled, call), ClickHouseDossierIndex(plain), registry, acknowledged.extend)
        with pytest.raises(Fatal, match=f"a row policy hides rows of the table {DOSSIER_MESSAGES} "):
            recount_every_tier(steps.recounter)
    assert acknowledged == []


# ---- commands that only read


@pytest.fixture
def run(server, monkeypatch, capsys, tmp_path):
    """Run a command as a user of a database; returns its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    def command(user, database, *arguments):
        monkeypatch.setenv("PORTALPULSE_CLICKHOUSE__URL", address(server, user, database))
        monkeypatch.setattr(sys, "argv", ["portalpulse", *arguments])
        status = cli.run()
        output, errors = capsys.readouterr()
        return status, output, errors

    yield command
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


READING = {
    "audit": ("audit", "--settle", "0"),
    "audit --format json": ("audit", "--settle", "0", "--format", "json", "--no-repeats"),
    "dead-letters list": ("dead-letters", "list", "--replayed"),
    "dead-letters show": ("dead-letters", "show", TOPIC, "0", "0"),
    "dead-letters replay --dry-run": ("dead-letters", "replay", "--dry-run"),
}
#: Every command with one of the users: the fast run.
READING_FAST = {(("reader", "chooser")[number % 2], command) for number, command in enumerate(READING)}


@pytest.mark.parametrize(
    ("user", "command"),
    [
        pytest.param(user, command, marks=() if (user, command) in READING_FAST else pytest.mark.long)
        for user in ("reader", "chooser")
        for command in READING
    ],
)
@pytest.mark.usefixtures("whole")
def test_commands_that_read_need_no_right_to_write(server, run, command, user):
    """Audit without --repair and reading dead letters work for a user with only SELECT, and change nothing."""
    before = state(server, "whole")
    code, output, errors = run(user, "whole", *READING[command])
    assert (code, errors) == (0, "") or (code == 0 and "Traceback" not in errors)
    assert output
    assert state(server, "whole") == before


@pytest.fixture(scope="module")
def uneven(server):
    """Databases of an older and of a newer release."""
    *older, _ = packaged_migrations()
    with connected(server, "default", "older") as clickhouse:
        migrate(clickhouse, tuple(older))
    with connected(server, "default", "newer") as clickhouse:
        migrate(clickhouse)
        clickhouse.command("test", f"INSERT INTO {SCHEMA_MIGRATIONS} (number, name, sha256) VALUES (9999, 'later', '')")


#: Databases that no command of this release but worker and migrate may touch, and what is said of each.
UNEVEN = {
    "older": f"lacks migration {packaged_migrations()[-1].number:04d} of this program",
    "newer": f"has migration 9999, this program knows none above {packaged_migrations()[-1].number:04d}. Update the program.",
    "absent": "lacks migration 0001 of this program",
}
CHANGING = [*READING.values(), ("audit", "--repair"), ("dead-letters", "drop", "--reason", "empty", "--yes")]


@pytest.mark.parametrize(
    ("database", "command"),
    [
        # The fast run has each command with one of the databases.
        pytest.param(
            database,
            command,
            id=f"{database}-{' '.join(command)}",
            marks=() if list(UNEVEN).index(database) == number % len(UNEVEN) else pytest.mark.long,
        )
        for database in UNEVEN
        for number, command in enumerate(CHANGING)
    ],
)
@pytest.mark.usefixtures("uneven")
def test_only_workers_change_tables(server, run, database, command):
    """A database of another release, or a missing one, is reported in one line; only worker and migrate change it."""
    before = state(server, database)
    code, output, errors = run("default", database, *command)
    assert (code, output) == (2, "")
    assert errors.startswith("portalpulse: ")
    assert errors.count("\n") == 1
    assert UNEVEN[database] in errors
    assert state(server, database) == before


def test_an_exporter_waits_for_the_first_worker(server, monkeypatch):
    """With ``wait`` a process that only reads waits until the tables match this program."""
    monkeypatch.setenv("PORTALPULSE_CLICKHOUSE__URL", address(server, "default", "awaited"))
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(_open_and_read)
        with connected(server, "default", "awaited") as clickhouse:
            migrate(clickhouse)
        assert waiting.result(timeout=60) == {}


def _open_and_read():
    with opened_storage(load_settings(), wait=60) as storage:
        return storage.tallies().counts_of_days(FIRST, LAST)
