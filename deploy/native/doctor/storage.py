"""Examines a ClickHouse server: whether it answers, its schema, rights, hidden or expiring rows, disks, replicas, clock."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

from deploy.native.doctor.clocks import Clocks, Reading
from deploy.native.doctor.endpoints import ANSWER_SECONDS, certificate
from deploy.native.doctor.finding import Finding, guarded
from deploy.native.doctor.numbers import size
from domain.errors import ConfigurationError, PortalPulseError
from pipeline.authorities import trust_of
from pipeline.settings import Settings
from pipeline.wiring.servers import ExaminedServer, servers_of
from sinks.contract.servers import Disk, ReplicaTable, Schema

#: The alert DiskFilling has the same limit.
DISK_FREE_RATIO: Final = 0.1
#: A replica that is so far behind makes figures late (seconds).
_DELAY_SECONDS: Final = 30
_PART: Final = "ClickHouse"


def storage_servers(settings: Settings) -> list[ExaminedServer] | Finding:
    """The servers that the settings name; or a finding: their addresses are wrong, or the storage is embedded."""
    url = settings.clickhouse.url.get_secret_value()
    if not settings.clickhouse.addresses and url.startswith("chdb:"):
        return Finding(_PART, "idle", f"embedded in {url.removeprefix('chdb:')}; not opened")
    try:
        return servers_of(settings, seconds=ANSWER_SECONDS)
    except ConfigurationError as error:
        return Finding(_PART, "wrong", error.problem, error.remedy)


def name_of(server: ExaminedServer) -> str:
    """The name of a server in findings."""
    return _PART if server.place is None else f"{_PART}, shard {server.place[0]}, replica {server.place[1]}"


def examine_server(server: ExaminedServer, settings: Settings, clocks: Clocks, remedy: str = "") -> list[Finding]:
    """Every finding on a server; when it does not answer, only that. ``remedy``: what to do about a server of the local stack."""
    part = name_of(server)
    try:
        try:
            identity = server.identity()
        except PortalPulseError as error:
            return [Finding(part, "wrong", error.problem, remedy or error.remedy or "See the log of ClickHouse.")]
        clocks.add(Reading(server.name, identity.ahead, identity.uncertain, in_cluster=server.place is not None))
        says = f"{server.name} answers: version {identity.version}, as user {identity.user}"
        findings = [Finding(part, "ok", says, since=identity.started)]
        if server.tls is not None:
            findings += certificate(
                f"{part}: certificate",
                *server.tls,
                trust_of(settings.clickhouse.ca_file, variable="PORTALPULSE_CLICKHOUSE__CA_FILE"),
            )
        findings += guarded(f"{part}: schema", lambda: _schema(f"{part}: schema", server))
        findings += guarded(f"{part}: rights", lambda: _rights(f"{part}: rights", server))
        findings += guarded(f"{part}: disks", lambda: _disks(f"{part}: disks", server))
        if server.place is not None:
            findings += guarded(f"{part}: cluster", lambda: _cluster(f"{part}: cluster", server))
            findings += guarded(f"{part}: replicas", lambda: _replicas(f"{part}: replicas", server))
        return findings
    finally:
        server.close()


def _schema(part: str, server: ExaminedServer) -> list[Finding]:
    schema = server.schema()
    found = schema_finding(part, server.database, schema)
    if found.state != "ok":
        return [found]
    tables = part.replace("schema", "tables")
    checks = (server.check_position, server.refuse_incomplete_tables, server.refuse_expiring_tables)
    wrong = [finding for check in checks for finding in guarded(tables, lambda check=check: check() or [])]  # type: ignore[misc]
    return [found, *(wrong or [Finding(tables, "ok", "no row policy hides rows from this user, and no TTL deletes rows")])]


def schema_finding(part: str, database: str, schema: Schema) -> Finding:
    """Whether the migrations of a database are those of this release."""
    since = schema.applied_at
    if schema.newer:
        says = f"the database {database} has migration {schema.newer[-1]:04d}, which this release does not know"
        remedy = "Update this program: an older release does not work on a newer schema (docs/upgrade.md)."
        return Finding(part, "wrong", says, remedy, since)
    if schema.edited:
        says = f"migration {schema.edited[0]:04d} was edited after it was applied to {database}"
        return Finding(part, "wrong", says, "Use the program that applied it, or a later release of it.", since)
    if not schema.newest:
        remedy = "`portalpulse migrate` or the first worker creates them."
        return Finding(part, "note", f"the database {database} has no tables of portalpulse", remedy)
    if schema.missing:
        listed = ", ".join(f"{number:04d}" for number in schema.missing)
        remedy = "Run `portalpulse migrate`, or start a worker of this release (docs/upgrade.md)."
        return Finding(part, "wrong", f"the database {database} lacks migration {listed} of this release", remedy, since)
    return Finding(part, "ok", f"{database} is at migration {schema.newest:04d}, as this release", since=since)


def _rights(part: str, server: ExaminedServer) -> list[Finding]:
    if missing := server.missing_cluster_rights():
        says = f"user {server.user} lacks a right that every process needs in a cluster: {', '.join(missing)}"
        return [Finding(part, "wrong", says, f"GRANT {missing[0]} TO {server.user}")]
    if not (missing := server.missing_rights()):
        return [Finding(part, "ok", f"user {server.user} may read and write {server.database}")]
    says = f"user {server.user} lacks rights that workers and `migrate` need: {', '.join(missing)}"
    remedy = "A user that only reads (exporter) needs none of them. docs/deployment.md and docs/cluster.md list the rights."
    return [Finding(part, "note", says, remedy)]


def _disks(part: str, server: ExaminedServer) -> list[Finding]:
    try:
        disks = server.disks()
    except PortalPulseError as error:
        says = f"not known: {error.problem.rstrip('.')}. Nobody is told before a disk is full"
        return [Finding(part, "note", says, f"GRANT SELECT ON system.disks TO {server.user}")]
    return disks_findings(part, disks)


def disks_findings(part: str, disks: Sequence[Disk]) -> list[Finding]:
    """Whether a disk is nearly full."""
    if not disks:
        return [Finding(part, "note", "the server tells the size of no disk", "Watch its disks with other means.")]
    full = [disk for disk in disks if disk.share < DISK_FREE_RATIO]
    shown = ", ".join(f"{disk.name}: {size(disk.free)} of {size(disk.total)} free" for disk in full or disks)
    if not full:
        return [Finding(part, "ok", shown)]
    remedy = "Free space or give the server a larger disk, before writes fail. On a full disk events wait in Kafka."
    return [Finding(part, "wrong", f"nearly full: {shown}", remedy)]


def _cluster(part: str, server: ExaminedServer) -> list[Finding]:
    if note := _lacks_select(part, server, "system.clusters"):
        return [note]
    server.check_cluster()
    return [Finding(part, "ok", "knows every server of the settings")]


def _replicas(part: str, server: ExaminedServer) -> list[Finding]:
    if note := _lacks_select(part, server, "system.replicas"):
        return [note]
    return replicas_findings(part, server.replicas())


def _lacks_select(part: str, server: ExaminedServer, table: str) -> Finding | None:
    """A note when this user may not read a system table, which counting does not need; else None."""
    if not server.lacks(f"SELECT ON {table}"):
        return None
    return Finding(
        part, "note", f"not known: user {server.user} may not read {table}", f"GRANT SELECT ON {table} TO {server.user}"
    )


def replicas_findings(part: str, replicas: Sequence[ReplicaTable]) -> list[Finding]:
    """Whether replicated tables take rows and have what other replicas have."""
    findings = []
    if readonly := [replica for replica in replicas if replica.readonly or replica.expired]:
        since = min((replica.readonly_since for replica in readonly if replica.readonly_since is not None), default=None)
        says = f"{len(readonly)} of {len(replicas)} tables are read-only ({readonly[0].table}, ...): no session with Keeper"
        remedy = "See whether Keeper answers this server, and its log. Then the tables take rows again by themselves."
        findings.append(Finding(part, "wrong", says, remedy, since))
    if late := [replica for replica in replicas if replica.delay > _DELAY_SECONDS]:
        worst = max(late, key=lambda replica: replica.delay)
        reason = f": {worst.error}" if worst.error else ""
        says = f"{len(late)} tables are behind, {worst.table} by {worst.delay} s with {worst.queue} entries in its queue{reason}"
        remedy = "See system.replication_queue of this server. Figures from this server come late, and are never too low."
        findings.append(Finding(part, "wrong", says, remedy, worst.oldest or _ago(worst.delay)))
    if findings:
        return findings
    if not replicas:
        return [Finding(part, "note", "no replicated table yet", "`portalpulse migrate` or the first worker creates them.")]
    return [Finding(part, "ok", f"{len(replicas)} tables take rows and are up to date")]


def _ago(seconds: int) -> dt.datetime:
    return dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds)
