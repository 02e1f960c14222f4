"""Board files are up to date and contain what Grafana and its users need; checked without a Grafana."""

from __future__ import annotations

import copy
import json
import re
import unicodedata

import pytest
import yaml

from dashboards.grafana import words
from dashboards.grafana.generate import COMMITTED, boards, changed_files, render, write_boards
from dashboards.queries import QUERIES, SQL_QUERIES, UNUSED
from dashboards.rules.generate import RuleTiming
from dashboards.rules.generate import render as render_rules
from domain.events import Reason
from domain.findings import FindingKind
from domain.indicators import INDICATORS
from domain.metric_names import METRICS
from domain.periods import Window
from domain.tiers import Tier
from pipeline.metrics import OPERATIONS, OUTCOMES
from tests.board_queries import agency_choices

COLUMNS = 24
PROMQL = {query.promql for query in QUERIES.values()}
SQL = {query.sql for query in SQL_QUERIES.values()}
#: Grafana's units, and the forms of custom units. A blank behind the colon would be shown in addition to Grafana's own.
UNIT = re.compile(r"percent|locale|short|string|bytes|suffix:\S.*|time:HH:mm DD/MM/YYYY")
#: Filled in by Grafana itself.
BUILT_IN = {"__rate_interval", "__fromTime", "__toTime"}
ALERTS = [
    rule["alert"]
    for text in render_rules(RuleTiming.production()).values()
    for group in yaml.safe_load(text)["groups"]
    for rule in group["rules"]
    if "alert" in rule
]
BOARDS = {board["uid"].removeprefix("portalpulse-"): board for board in boards()}


def faults(board: dict) -> list[str]:
    """Descriptions of everything that is wrong with a board."""
    found = []
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", board.get("uid") or ""):
        found.append("the uid is not 1 to 40 letters, digits, - and _")
    if "id" not in board or board["id"] is not None:
        found.append("id must be null")
    if board.get("timezone") != "Asia/Ho_Chi_Minh":
        found.append("the time zone is not Viet Nam's")
    names = [variable["name"] for variable in board["templating"]["list"]]
    if not {"ds_prom", "ds_ch", "portalpulse"} <= set(names):
        found.append("a variable is missing")
    found += _frame_faults(board)
    ids = [panel.get("id") for panel in board["panels"]]
    if None in ids or len(set(ids)) != len(ids):
        found.append("panel ids are missing or repeated")
    for panel in board["panels"]:
        found += _panel_faults(panel, names)
    return found + _layout_faults(board)


def _frame_faults(board: dict) -> list[str]:
    found = []
    if not any(link["type"] == "dashboards" and link["keepTime"] and link["includeVars"] for link in board["links"]):
        found.append("no link to the other boards that keeps time and variables")
    if not all("ALERTS" in one["target"]["expr"] for one in board["annotations"]["list"]) or not board["annotations"]["list"]:
        found.append("no annotations of alerts")
    if [panel["title"] for panel in board["panels"]][:1] != ["Tình trạng số liệu"]:
        found.append("the first panel does not say whether data are old")
    return found


def _layout_faults(board: dict) -> list[str]:
    found = []
    taken: dict[tuple[int, int], str] = {}
    for panel in board["panels"]:
        place = panel["gridPos"]
        if place["x"] < 0 or place["x"] + place["w"] > COLUMNS or place["w"] < 1 or place["h"] < 1:
            found.append(f"{panel['title']}: outside the {COLUMNS} columns")
        for cell in (
            (x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])
        ):
            if cell in taken:
                found.append(f"{panel['title']}: overlaps {taken[cell]}")
                break
            taken[cell] = panel["title"]
    height = max(y for _, y in taken) + 1
    found += [f"row {y} has a gap" for y in range(height) if sum((x, y) in taken for x in range(COLUMNS)) < COLUMNS]
    return found


def _panel_faults(panel: dict, variables: list[str]) -> list[str]:
    title = panel.get("title") or "a panel without title"
    defaults = panel["fieldConfig"]["defaults"]
    found = []
    if not panel.get("description"):
        found.append(f"{title}: no description")
    if not UNIT.fullmatch(defaults.get("unit") or ""):
        found.append(f"{title}: no unit")
    if not defaults.get("thresholds", {}).get("steps"):
        found.append(f"{title}: no thresholds")
    if not any(one["options"].get("match") == "null+nan" for one in defaults.get("mappings", []) if one["type"] == "special"):
        found.append(f"{title}: no text for missing data")
    if not panel.get("targets"):
        found.append(f"{title}: no query")
    references = [target.get("refId") for target in panel.get("targets", [])]
    if len(set(references)) != len(references):
        found.append(f"{title}: repeated refId")
    return found + [fault for target in panel.get("targets", []) for fault in _query_faults(title, target, variables)]


def _query_faults(title: str, target: dict, variables: list[str]) -> list[str]:
    found = []
    text, known, source = (
        (target["rawSql"], SQL, "${ds_ch}") if "rawSql" in target else (target.get("expr", ""), PROMQL, "${ds_prom}")
    )
    if target.get("datasource", {}).get("uid") != source:
        found.append(f"{title}: a query without the data-source variable")
    if text not in known:
        found.append(f"{title}: a query that is not in dashboards/queries")
    unknown = set(re.findall(r"\$\{?(\w+)", text)) - set(variables) - BUILT_IN
    if unknown:
        found.append(f"{title}: unknown variables {unknown}")
    return found


def test_committed_is_regenerated():
    """The committed board files are exactly what the generator produces."""
    assert changed_files() == []
    assert sorted(path.name for path in COMMITTED.glob("*.json")) == sorted(render())


def test_an_edited_file_is_noticed(tmp_path):
    """A board edited by hand, or missing, counts as changed."""
    path = write_boards(tmp_path)[0]
    path.write_text(path.read_text(encoding="utf-8").replace("Toàn quốc", "Toan quoc"), encoding="utf-8")
    assert changed_files(tmp_path) == [path]


@pytest.mark.parametrize("path", sorted(COMMITTED.glob("*.json")), ids=lambda path: path.stem)
def test_boards_have_no_faults(path):
    """Uid, variables, ids, grid, queries, data sources, units, thresholds and descriptions are correct."""
    assert faults(json.loads(path.read_text(encoding="utf-8"))) == []


def test_uids_are_unique():
    """No two boards have the same uid, since the second would overwrite the first."""
    uids = [board["uid"] for board in boards()]
    assert len(set(uids)) == len(uids)


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda board: board.update(uid="toàn quốc"), "the uid"),
        (lambda board: board.update(id=7), "id must be null"),
        (lambda board: board.update(timezone="browser"), "time zone"),
        (lambda board: board["templating"]["list"].pop(), "a variable is missing"),
        (lambda board: board["links"][0].update(keepTime=False), "keeps time and variables"),
        (lambda board: board["annotations"]["list"].clear(), "no annotations"),
        (lambda board: board["panels"].pop(0), "whether data are old"),
        (lambda board: board["panels"][0]["fieldConfig"]["defaults"].pop("mappings"), "no text for missing data"),
        (lambda board: board["panels"][0]["fieldConfig"]["defaults"].update(unit="suffix: phút"), "no unit"),
        (lambda board: board["panels"][0]["gridPos"].update(w=2), "has a gap"),
        (lambda board: board["panels"][0].pop("id"), "panel ids"),
        (lambda board: board["panels"][1].update(id=board["panels"][0]["id"]), "panel ids"),
        (lambda board: board["panels"][0].pop("description"), "no description"),
        (lambda board: board["panels"][0]["fieldConfig"]["defaults"].pop("unit"), "no unit"),
        (lambda board: board["panels"][0]["fieldConfig"]["defaults"].pop("thresholds"), "no thresholds"),
        (lambda board: board["panels"][0].update(targets=[]), "no query"),
        (lambda board: board["panels"][0]["targets"][0].update(datasource={"uid": "abc"}), "data-source variable"),
        (lambda board: board["panels"][0]["targets"][0].update(expr="up"), "not in dashboards/queries"),
        (lambda board: board["panels"][0]["gridPos"].update(x=23), "outside the 24 columns"),
        (lambda board: board["panels"][0]["gridPos"].update(x=1), "overlaps"),
    ],
)
def test_a_malformed_board_is_noticed(spoil, fault):
    """The control: each kind of damage is found and named."""
    board = copy.deepcopy(boards()[0])
    spoil(board)
    assert any(fault in found for found in faults(board)), faults(board)


def test_every_query_is_on_a_board():
    """Each query is the query of a panel: one that nobody sees is not checked by anybody's eyes."""
    shown = [target for board in BOARDS.values() for panel in board["panels"] for target in panel["targets"]]
    assert {target["expr"] for target in shown if "expr" in target} == PROMQL
    assert {target["rawSql"] for target in shown if "rawSql" in target} == SQL


def unshown(queries: str, rules: str) -> set[str]:
    """Metrics that no query shows, neither directly nor through series that rules record."""
    recorded = {rule["record"]: rule["expr"] for group in yaml.safe_load(rules) for rule in group["rules"] if "record" in rule}
    seen, text = set(), queries
    while found := {name for name in recorded if name not in seen and name in text}:
        seen |= found
        text += " ".join(recorded[name] for name in found)
    words_of = set(re.findall(r"[a-z_0-9]+", text))
    stems = {word.removesuffix(end) for word in words_of for end in ("", "_bucket", "_count", "_sum")}
    return set(METRICS) - stems


def test_every_metric_is_shown_or_unused_on_purpose():
    """Each metric that is exported is on a board, or listed with the reason why not; the list holds nothing else."""
    texts = render_rules(RuleTiming.production()).values()
    rules = yaml.safe_dump([group for text in texts for group in yaml.safe_load(text)["groups"]])
    assert unshown(" ".join(PROMQL), rules) == set(UNUSED)
    assert all(UNUSED.values())
    without = " ".join(query.promql for query in QUERIES.values() if query.name != "unread")
    assert unshown(without, rules) - set(UNUSED) == {"portalpulse_worker_unread_offsets_total"}


@pytest.mark.parametrize(
    ("texts", "codes"),
    [
        (words.REASONS, list(Reason)),
        (words.FINDINGS, list(FindingKind)),
        (words.WINDOWS, list(Window)),
        (words.KPIS, list(INDICATORS)),
        (words.OPERATIONS, OPERATIONS),
        (words.OUTCOMES, ["stored", "dead_letter", *OUTCOMES]),
        (words.SCOPES, [*Tier, "dossiers"]),
        (words.STATES, range(8)),
        (words.BANNERS, range(7)),
        (words.alert_texts(), ALERTS),
    ],
    ids=["reasons", "findings", "windows", "indicators", "operations", "outcomes", "scopes", "states", "banners", "alerts"],
)
def test_every_code_has_its_vietnamese_text(texts, codes):
    """Reasons, findings, windows, indicators, operations, outcomes, states and alerts are words, not codes."""
    assert sorted(code for code, _, _ in texts) == sorted(codes)
    assert len({text for _, text, _ in texts}) == len(texts)
    assert not any(text == str(code) or "_" in text for code, text, _ in texts)


def test_links_keep_time_and_variables():
    """A click on an agency opens its board with the same range of time, data sources, indicator and window."""
    links = [
        link["url"]
        for board in BOARDS.values()
        for panel in board["panels"]
        for override in panel["fieldConfig"]["overrides"]
        for item in override["properties"]
        if item["id"] == "links"
        for link in item["value"]
    ]
    to_agency = [link for link in links if link.startswith("/d/portalpulse-agency?")]
    assert len(to_agency) >= 4
    for link in to_agency:
        for kept in ("__url_time_range", "ds_prom:queryparam", "ds_ch:queryparam", "kpi:queryparam", "window:queryparam"):
            assert f"${{{kept}}}" in link
    assert {link for link in links if link not in to_agency} == {"${portalpulse}/runbook/vi#${__value.raw}"}


def test_agencies_are_chosen_by_name():
    """The choice of agencies shows the name beside the code; the value is the code alone."""
    answer = [{"agency": "H17", "name": "Đà Nẵng", "text": "H17 · Đà Nẵng"}]
    assert agency_choices(BOARDS["agency"], answer) == {"H17": "H17 · Đà Nẵng"}


def test_no_data_is_never_shown_as_zero():
    """No query makes a zero out of nothing: a zero stands beside a series that is there while the exporter answers."""
    for query in QUERIES.values():
        assert "vector(" not in query.promql, query.name
        assert "absent(" not in query.promql, query.name


def test_vietnamese_is_composed():
    """Vietnamese text is in composed form (NFC): a decomposed accent is not found when searched for."""
    for text in render().values():
        assert unicodedata.is_normalized("NFC", text)


def test_the_ranking_has_every_column():
    """The table of agencies shows name, state, rate, change, counts, threshold, missing dossiers, alerts and last event."""
    table = next(panel for panel in BOARDS["national"]["panels"] if panel["title"] == "Xếp hạng cơ quan")
    organize = next(step for step in table["transformations"] if step["id"] == "organize")["options"]
    shown = sorted(organize["renameByName"], key=organize["indexByName"].get)
    assert [organize["renameByName"][field] for field in shown] == [
        *("Mã", "Cơ quan", "Khối", "Mức", "Tỷ lệ", "± tuần", "Tử số", "Mẫu số", "Ngưỡng", "Còn thiếu", "Cảnh báo"),
        "Sự kiện cuối",
    ]
