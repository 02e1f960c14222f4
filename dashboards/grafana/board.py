"""Builds a board from rows of panels, with links to other boards, annotations of alerts, and the banner about old data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard, prometheus
from grafana_foundation_sdk.models import dashboard as models

from dashboards.grafana.panels import TIME, Header, Look, stat_panel
from dashboards.grafana.targets import PROMETHEUS, Series
from dashboards.grafana.words import BANNER_NOTHING, BANNERS, ORANGE, RED
from dashboards.queries import pipeline as pipe
from dashboards.queries.query import BoardQuery

NATIONAL, AGENCY, PIPELINE, MONITORING = (f"portalpulse-{name}" for name in ("national", "agency", "pipeline", "monitoring"))
TAG: Final = "portalpulse"
#: Columns of the grid.
COLUMNS: Final = 24

#: What an address keeps: the range of time and every variable of the boards.
_KEPT: Final = "&".join(
    ("${__url_time_range}", *(f"${{{name}:queryparam}}" for name in ("ds_prom", "ds_ch", "kpi", "window", "portalpulse")))
)
_RUNBOOK: Final = "${portalpulse}/runbook/vi#${__value.raw}"


def to_agency(code: str) -> tuple[str, str]:
    """A link from a table cell to the board of an agency; ``code``: the column with the code of the agency."""
    return ("Bảng của cơ quan", f'/d/{AGENCY}?{_KEPT}&var-agency=${{__data.fields["{code}"]}}')


def to_runbook() -> tuple[str, str]:
    """A link from a table cell with the name of an alert to the alert's section of the runbook."""
    return ("Sổ tay xử lý", _RUNBOOK)


#: Width, title, description, query and look of a panel with one number.
Stat = tuple[int, str, str, BoardQuery, Look]


@dataclass(frozen=True, slots=True)
class Row:
    """Panels side by side: their height, and each panel with its width; the widths add up to at most ``COLUMNS``."""

    height: int
    cells: Sequence[tuple[int, Any]]


def stats(cells: Sequence[Stat], *, first: int = 1) -> list[tuple[int, Any]]:
    """One panel with one number for each cell, for a row; ``first``: number of the first panel."""
    return [
        (width, stat_panel(Header(number, title, text), Series(query), look))
        for number, (width, title, text, query, look) in enumerate(cells, first)
    ]


def banner() -> Row:
    """The row of panels that says whether figures are current; it is the same on every board, with the panel ids 101 and 102."""
    header = Header(
        101,
        "Tình trạng số liệu",
        "Số liệu có đang cập nhật không. Khi exporter hoặc Prometheus không trả lời, ô này nói rõ và không bao giờ màu xanh.",
    )
    look = Look(unit=TIME, texts=BANNERS, missing=(BANNER_NOTHING, RED))
    newest = Header(102, "Sự kiện mới nhất", "Thời điểm của sự kiện mới nhất đã nhận, giờ Việt Nam.")
    return Row(
        3,
        [
            (18, stat_panel(header, Series(pipe.BANNER), look, background=True)),
            (6, stat_panel(newest, Series(pipe.NEWEST_EVENT), Look(unit=TIME))),
        ],
    )


def _annotation(name: str, matchers: str, color: str, title: str) -> Any:
    return (
        dashboard.AnnotationQuery()
        .name(name)
        .datasource(PROMETHEUS)
        .enable(enable=True)
        .icon_color(color)
        .target(prometheus.Dataquery().expr(f'ALERTS{{alertstate="firing",{matchers}}}').interval("60s").ref_id("Anno"))
        .title_format(title)
        .text_format("{{alertname}} {{kpi}} {{window}} {{rung}}")
        .tag_keys("alertname,severity")
    )


def make_board(
    uid: str, title: str, description: str, rows: Sequence[Row], *, variables: Sequence[Any], agency: bool = False
) -> models.Dashboard:
    """The finished board.

    Args:
        uid: the uid by which Grafana identifies the board.
        title: the title of the board.
        description: what the board is for.
        rows: its panels from top to bottom.
        variables: see ``dashboards.grafana.variables``.
        agency: True: annotations show the alerts of the chosen agency; False: critical alerts of every agency.
    """
    of_agency = 'agency="$agency"' if agency else 'agency!="",severity="critical"'
    links = (
        dashboard.DashboardLink("Bảng khác")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .include_vars(include_vars=True)
        .keep_time(keep_time=True)
    )
    live = (
        dashboard.DashboardLink("Bảng trực tiếp")
        .type(models.DashboardLinkType.LINK)
        .url("${portalpulse}")
        .target_blank(target_blank=True)
    )
    board = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .timezone("Asia/Ho_Chi_Minh")
        .week_start("monday")
        .time("now-24h", "now")
        .refresh("30s")
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .variables(list(variables))
        .link(links)
        .link(live)
        .annotation(_annotation("Cảnh báo cơ quan", of_agency, ORANGE, "Cảnh báo {{agency}}"))
        .annotation(_annotation("Cảnh báo hệ thống", 'agency="",alertname!="Watchdog"', RED, "Cảnh báo hệ thống"))
    )
    for panel in _placed([banner(), *rows]):
        board = board.with_panel(panel)
    return board.build()


def _placed(rows: Sequence[Row]) -> list[Any]:
    panels, y = [], 0
    for row in rows:
        x = 0
        for width, panel in row.cells:
            panels.append(panel.grid_pos(models.GridPos(h=row.height, w=width, x=x, y=y)))
            x += width
        y += row.height
    return panels
