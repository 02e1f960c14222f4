"""Alerts on storing: failing calls to the storage, messages that left Kafka's log before they were read, and full disks."""

from __future__ import annotations

from dashboards.rules.annotations import vietnamese_percent, whole, whole_en
from dashboards.rules.rule import Rule, alert, fired, seen, texts
from dashboards.rules.timing import RuleTiming, duration, number


def storage_alerts(timing: RuleTiming) -> list[Rule]:
    """The alerts on storing."""
    return [_errors(timing), _lost(timing), _disk(timing), _unknown_disk(timing), _kafka_disk(timing)]


def _errors(timing: RuleTiming) -> Rule:
    window = duration(timing.storage_errors_seconds)
    failed = f"sum(increase(portalpulse_worker_store_seconds_count{{outcome=~'retryable|unknown'}}[{window}]))"
    return alert(
        "StorageErrors",
        f"""
        {failed.replace("'", '"')} > {timing.storage_errors_limit}
        unless on () {fired("ClickHouseDown", window)}
        """,
        severity="warning",
        scope="pipeline",
        timing=timing,
        for_seconds=timing.storage_errors_for_seconds,
        keep_firing_seconds=timing.part_keep_firing_seconds,
        annotations=texts(
            "Nhiều lần ghi vào kho dữ liệu thất bại.",
            "Many calls to the storage fail.",
            f"{whole(failed)} lần gọi kho dữ liệu thất bại gần đây; worker gọi lại nên không mất sự kiện, nhưng số liệu chậm "
            f"hơn.",
            f"{whole_en(failed)} calls to the storage failed lately. Workers repeat them, so nothing is lost and figures are "
            f"late.",
        ),
    )


def _lost(timing: RuleTiming) -> Rule:
    window = duration(timing.lost_seconds)
    unread = "sum(portalpulse_worker_unread_offsets_total)"
    lost = f"({unread} - (sum(portalpulse_worker_unread_offsets_total offset {window}) or vector(0)))"
    return alert(
        "MessagesLost",
        f"{lost} > 0",
        severity="critical",
        scope="pipeline",
        timing=timing,
        annotations=texts(
            "Kafka đã xóa sự kiện chưa được đọc.",
            "Kafka deleted messages that were not read.",
            f"{whole(lost)} vị trí trong Kafka bị xóa trước khi worker đọc: sự kiện ở đó có thể đã mất. Các cổng phải gửi lại.",
            f"{whole_en(lost)} offsets left Kafka's log before a worker read them: their messages may be lost. Portals must "
            f"send them again.",
        ),
    )


def _disk(timing: RuleTiming) -> Rule:
    free = f"min({seen('portalpulse_storage_free_ratio', timing)})"
    return alert(
        "DiskFilling",
        f"{free} < {number(timing.disk_free_ratio)}",
        severity="warning",
        scope="pipeline",
        timing=timing,
        for_seconds=timing.disk_for_seconds,
        keep_firing_seconds=timing.part_keep_firing_seconds,
        annotations=texts(
            "Đĩa của kho dữ liệu sắp đầy.",
            "The disk of the storage is nearly full.",
            f"Còn trống {whole(f'floor(100 * {free})')} % (giới hạn {vietnamese_percent(timing.disk_free_ratio)}). Khi đĩa "
            f"đầy, sự kiện không được "
            "lưu nữa và chờ trong Kafka.",
            f"{whole_en(f'floor(100 * {free})')} % is free (limit: {number(timing.disk_free_ratio * 100)} %). On a full disk "
            f"no event is stored, and "
            "events wait in Kafka.",
        ),
    )


def _unknown_disk(timing: RuleTiming) -> Rule:
    """The alert on a storage that answers and does not report its disks: DiskFilling could never fire for it."""
    return alert(
        "DiskUnknown",
        f"""
        max(max_over_time(portalpulse_storage_up[{timing.guard}])) == 1
        unless on () {seen("portalpulse_storage_free_ratio", timing)}
        """,
        severity="warning",
        scope="pipeline",
        timing=timing,
        for_seconds=timing.disk_for_seconds,
        annotations=texts(
            "Không biết đĩa của kho dữ liệu còn trống bao nhiêu.",
            "Nobody knows how full the disk of the storage is.",
            "Kho dữ liệu trả lời nhưng không cho biết dung lượng đĩa: sẽ không có cảnh báo trước khi đĩa đầy. Người dùng "
            "ClickHouse của chương trình xuất số liệu cần quyền SELECT trên system.disks.",
            "The storage answers and does not tell its disks: nobody would be told before one is full. The exporter's user of "
            "ClickHouse needs SELECT on system.disks.",
        ),
    )


def _kafka_disk(timing: RuleTiming) -> Rule:
    """The alert on a disk of Kafka, for brokers that report their disks.

    A broker that does not report them raises no alert: few sites grant the right.
    """
    free = f"min by (broker) ({seen('portalpulse_kafka_disk_free_ratio', timing)})"
    percent = '{{ $value | printf "%.0f" }} %'
    return alert(
        "KafkaDiskFilling",
        f"floor(100 * {free}) < {number(100 * timing.disk_free_ratio)}",
        severity="warning",
        scope="pipeline",
        timing=timing,
        for_seconds=timing.disk_for_seconds,
        keep_firing_seconds=timing.part_keep_firing_seconds,
        annotations=texts(
            "Đĩa của Kafka sắp đầy.",
            "A disk of Kafka is nearly full.",
            f"Máy chủ Kafka (broker) {{{{ $labels.broker }}}} còn trống {percent} (giới hạn "
            f"{vietnamese_percent(timing.disk_free_ratio)}). Khi đĩa đầy, broker dừng và các cổng không gửi được sự kiện.",
            f"{percent} is free at broker {{{{ $labels.broker }}}} (limit: {number(timing.disk_free_ratio * 100)} %). On a full "
            "disk a broker ends, and portals cannot send.",
        ),
    )
