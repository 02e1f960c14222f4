"""Board files are up to date and contain what Grafana and its users need; checked without a Grafana."""

from __future__ import annotations

import copy
import json
import re
import unicodedata

import pytest

from dashboards.grafana.generate import COMMITTED, boards, changed_files, render, write_boards
from dashboards.queries import QUERIES

COLUMNS = 24
EXPRESSIONS = {query.promql for query in QUERIES.values()}
#: Grafana's units, and the form of a custom unit.
UNIT = re.compile(r"^(percent|locale|s|short|suffix: .+)$")


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
    if not {"ds_prom", "kpi", "window", "agency"} <= set(names):
        found.append("a variable is missing")
    ids = [panel.get("id") for panel in board["panels"]]
    if None in ids or len(set(ids)) != len(ids):
        found.append("panel ids are missing or repeated")
    taken: dict[tuple[int, int], str] = {}
    for panel in board["panels"]:
        found += _panel_faults(panel, names)
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
    return found


def _panel_faults(panel: dict, variables: list[str]) -> list[str]:
    title = panel.get("title") or "a panel without title"
    found = []
    if not panel.get("description"):
        found.append(f"{title}: no description")
    if not UNIT.match(panel["fieldConfig"]["defaults"].get("unit") or ""):
        found.append(f"{title}: no unit")
    if not panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps"):
        found.append(f"{title}: no thresholds")
    if not panel.get("targets"):
        found.append(f"{title}: no query")
    for target in panel.get("targets", []):
        if target.get("datasource", {}).get("uid") != "${ds_prom}":
            found.append(f"{title}: a query without the data-source variable")
        if target.get("expr") not in EXPRESSIONS:
            found.append(f"{title}: a query that is not in dashboards/queries.py")
        unknown = set(re.findall(r"\$(\w+)", target.get("expr", ""))) - set(variables)
        if unknown:
            found.append(f"{title}: unknown variables {unknown}")
    references = [target.get("refId") for target in panel.get("targets", [])]
    if len(set(references)) != len(references):
        found.append(f"{title}: repeated refId")
    return found


def test_committed_is_regenerated():
    """The committed board files are exactly what the generator produces."""
    assert changed_files() == []
    assert sorted(path.name for path in COMMITTED.glob("*.json")) == sorted(render())


def test_an_edited_file_is_noticed(tmp_path):
    """A board edited by hand, or missing, counts as changed."""
    (path,) = write_boards(tmp_path)
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
        (lambda board: board["panels"][0].pop("id"), "panel ids"),
        (lambda board: board["panels"][1].update(id=board["panels"][0]["id"]), "panel ids"),
        (lambda board: board["panels"][0].pop("description"), "no description"),
        (lambda board: board["panels"][0]["fieldConfig"]["defaults"].pop("unit"), "no unit"),
        (lambda board: board["panels"][0]["fieldConfig"]["defaults"].pop("thresholds"), "no thresholds"),
        (lambda board: board["panels"][0].update(targets=[]), "no query"),
        (lambda board: board["panels"][0]["targets"][0].update(datasource={"uid": "abc"}), "data-source variable"),
        (lambda board: board["panels"][0]["targets"][0].update(expr="up"), "not in dashboards/queries.py"),
        (lambda board: board["panels"][0]["gridPos"].update(x=23), "outside the 24 columns"),
        (lambda board: board["panels"][0]["gridPos"].update(x=1), "overlaps"),
    ],
)
def test_a_malformed_board_is_noticed(spoil, fault):
    """The control: each kind of damage is found and named."""
    board = copy.deepcopy(boards()[0])
    spoil(board)
    assert any(fault in found for found in faults(board)), faults(board)


def test_no_data_is_never_shown_as_zero():
    """Every panel has a text for missing data."""
    for board in boards():
        for panel in board["panels"]:
            assert panel["fieldConfig"]["defaults"]["noValue"] in {"Chưa có dữ liệu", "—", "Không có"}, panel["title"]


def test_vietnamese_is_composed():
    """Vietnamese text is in composed form (NFC): a decomposed accent is not found when searched for."""
    for text in render().values():
        assert unicodedata.is_normalized("NFC", text)


def test_the_ranking_has_every_column():
    """The table of agencies shows name, rate, numerator, denominator, threshold, deficit and state."""
    (board,) = boards()
    table = next(panel for panel in board["panels"] if panel["title"] == "Xếp hạng cơ quan")
    organize = next(step for step in table["transformations"] if step["id"] == "organize")["options"]
    shown = sorted(organize["renameByName"], key=organize["indexByName"].get)
    assert [organize["renameByName"][field] for field in shown] == [
        "Mã",
        "Cơ quan",
        "Khối",
        "Tỷ lệ",
        "Tử số",
        "Mẫu số",
        "Ngưỡng",
        "Còn thiếu",
        "Trạng thái",
    ]
