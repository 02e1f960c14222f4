"""Panels of one value, bars and lines: data source, explicit id, unit, description, thresholds, and a text for missing data.

Colours only repeat what numbers and texts already show. A missing value is grey and has a text of its own: without this text
Grafana would give it the colour below the first threshold, which may be green.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from grafana_foundation_sdk.builders import bargauge, common, dashboard, stat, statetimeline, timeseries
from grafana_foundation_sdk.models import common as shared
from grafana_foundation_sdk.models import dashboard as models

from dashboards.grafana.targets import Series, source_of, target
from dashboards.grafana.words import GREY, NO_DATA, PLAIN, Text

PERCENT, COUNT, RATE = "percent", "locale", "suffix:/giây"
SECONDS, MINUTES, HOURS = "suffix:giây", "suffix:phút", "suffix:giờ"
POINTS, BYTES, TIME, NAME = "suffix:điểm %", "bytes", "time:HH:mm DD/MM/YYYY", "string"

_LAST: Final = ["lastNotNull"]
#: Whole numbers as bars, with an axis of their own.
_COLUMN: Final[Mapping[str, Any]] = {
    "unit": COUNT,
    "decimals": 0,
    "custom.drawStyle": "bars",
    "custom.axisPlacement": "right",
    "custom.fillOpacity": 25,
}
_DASHED: Final[Mapping[str, Any]] = {"custom.lineStyle": {"fill": "dash", "dash": [10, 10]}}


@dataclass(frozen=True, slots=True)
class Header:
    """Id, title and description of a panel; ``id`` is unique on its board and stays when panels move."""

    id: int
    title: str
    description: str


@dataclass(frozen=True, slots=True)
class Look:
    """How values are shown. ``texts``: shown in place of certain values; ``missing``: shown in place of a missing value."""

    unit: str
    decimals: int = 0
    thresholds: Any = None
    texts: Sequence[Text] = ()
    missing: tuple[str, str] = (NO_DATA, GREY)
    #: Texts in place of the legends of series.
    names: Mapping[str, str] | None = None
    #: Colours of series by legend; others take those of the palette.
    colors: Mapping[str, str] | None = None


def steps(base: str, *above: tuple[float, str]) -> Any:
    """The thresholds of a panel: ``base`` is the colour below all of them; ``above``: (value, colour), ascending."""
    first = models.Threshold(value=None, color=base)
    rest = [models.Threshold(value=value, color=color) for value, color in above]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps([first, *rest])


def mappings(texts: Sequence[Text], missing: tuple[str, str]) -> list[Any]:
    """Texts and colours that are shown in place of certain values and of missing values."""
    found: list[Any] = []
    if texts:
        results = {
            f"{value:g}" if isinstance(value, (int, float)) else value: models.ValueMappingResult(
                text=text, color=color, index=index
            )
            for index, (value, text, color) in enumerate(texts)
        }
        found.append(models.ValueMap(options=results))
    text, color = missing
    result = models.ValueMappingResult(text=text, color=color, index=len(texts))
    options = models.DashboardSpecialValueMapOptions(match=models.SpecialValueMatch.NULL_AND_NAN, result=result)
    return [*found, models.SpecialValueMap(options=options)]


def begin(
    panel: Any,
    header: Header,
    look: Look,
    series: Sequence[Series],
    *,
    custom: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    palette: bool = False,
) -> Any:
    """Set what every panel has: data source, id, unit, description, thresholds, queries.

    Args:
        panel: the builder of the panel.
        header: id, title, description.
        look: how values are shown.
        series: the queries; the data source of the first one is that of the panel.
        custom: further options of series, by legend.
        palette: True: colours tell series apart; False: thresholds decide the colours.
    """
    mode = models.FieldColorModeId.PALETTE_CLASSIC if palette else models.FieldColorModeId.THRESHOLDS
    panel = (
        panel.id(header.id)
        .title(header.title)
        .description(header.description)
        .datasource(source_of(series[0].query))
        .unit(look.unit)
        .decimals(look.decimals)
        .color_scheme(dashboard.FieldColor().mode(mode))
        .thresholds(look.thresholds or steps(PLAIN))
        .mappings(mappings(look.texts, look.missing))
        .no_value(look.missing[0])
    )
    for name in dict.fromkeys([*(look.names or {}), *(look.colors or {}), *custom]):
        # One rule a series: a second one would look for the name that the first has replaced.
        properties = dict(custom.get(name, {}))
        if name in (look.names or {}):
            properties["displayName"] = (look.names or {})[name]
        if name in (look.colors or {}):
            properties["color"] = {"mode": "fixed", "fixedColor": (look.colors or {})[name]}
        panel = panel.override_by_name(name, [models.DynamicConfigValue(key, value) for key, value in properties.items()])
    return panel


def _several(series: Series | Sequence[Series]) -> list[Series]:
    return [series] if isinstance(series, Series) else list(series)


def stat_panel(header: Header, series: Series | Sequence[Series], look: Look, *, background: bool = False) -> Any:
    """The current value of one or a few series. ``background``: the colour fills the panel."""
    several = _several(series)
    panel = (
        begin(stat.Panel(), header, look, several)
        .color_mode(shared.BigValueColorMode.BACKGROUND_SOLID if background else shared.BigValueColorMode.VALUE)
        .graph_mode(shared.BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(_LAST))
    )
    for index, one in enumerate(several):
        panel = panel.with_target(target(one, index, kind="instant"))
    return panel


def bar_panel(header: Header, series: Series, look: Look) -> Any:
    """The current value of each series as a bar."""
    return (
        begin(bargauge.Panel(), header, look, [series])
        .orientation(shared.VizOrientation.HORIZONTAL)
        .display_mode(shared.BarGaugeDisplayMode.BASIC)
        .reduce_options(common.ReduceDataOptions().calcs(_LAST))
        .with_target(target(series, 0, kind="instant"))
    )


def lines_panel(
    header: Header,
    series: Series | Sequence[Series],
    look: Look,
    *,
    time_from: str = "",
    columns: Sequence[str] = (),
    dashed: Sequence[str] = (),
    drawn: bool = False,
) -> Any:
    """A panel of values over time; a gap in the data stays a gap.

    Args:
        header: id, title, description.
        series: the queries.
        look: unit, thresholds, names.
        time_from: a time range of the panel's own, such as ``90d``, which ends when that of the board ends.
        columns: names of series that are drawn as bars, with whole numbers on an axis to the right.
        dashed: names of series that are limits, drawn as dashed lines.
        drawn: draw the thresholds as lines.
    """
    several = _several(series)
    custom = {name: dict(_COLUMN) for name in columns} | {name: dict(_DASHED) for name in dashed}
    panel = (
        begin(timeseries.Panel(), header, look, several, custom=custom, palette=True)
        .min(0)
        .fill_opacity(0)
        .span_nulls(span_nulls=False)
        .legend(
            common.VizLegendOptions()
            .display_mode(shared.LegendDisplayMode.TABLE)
            .placement(shared.LegendPlacement.BOTTOM)
            .show_legend(show_legend=True)
            .calcs(_LAST)
        )
        .tooltip(common.VizTooltipOptions().mode(shared.TooltipDisplayMode.MULTI).sort(shared.SortOrder.DESCENDING))
    )
    if drawn:
        panel = panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(shared.GraphThresholdsStyleMode.DASHED))
    if time_from:
        panel = panel.time_from(time_from)
    for index, one in enumerate(several):
        panel = panel.with_target(target(one, index, kind="range"))
    return panel


def timeline_panel(header: Header, series: Series, look: Look) -> Any:
    """A panel with a horizontal bar for each series, coloured during the times at which the series has a value."""
    return (
        begin(statetimeline.Panel(), header, look, [series])
        .show_value(shared.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .display_mode(shared.LegendDisplayMode.LIST)
            .placement(shared.LegendPlacement.BOTTOM)
            .show_legend(show_legend=False)
        )
        .with_target(target(series, 0, kind="range"))
    )
