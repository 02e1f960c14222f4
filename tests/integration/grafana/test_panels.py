"""What Grafana's own libraries show of panels: texts, colours, units, columns and links."""

from __future__ import annotations

import re

import pytest

from dashboards.grafana.words import BANNERS, GREY, STATES
from tests.integration.grafana.conftest import rows, values

#: Words of Grafana's own units, which would stand in a Vietnamese board.
ENGLISH = re.compile(r"\b(mins?|hours?|days?|weeks?|secs?|ms|ago|No data)\b")
SAMPLES = (0, 4.97, 5, 600, 61729, None)


def tables(panels):
    """Tables, with one row of nothing in every column."""
    found = {}
    for key, panel in panels.items():
        if panel["type"] != "table":
            continue
        organize = next(step for step in panel["transformations"] if step["id"] == "organize")["options"]
        by_query = {}
        for name in organize["indexByName"]:
            by_query.setdefault(name.partition("#")[2] or "A", {})[name] = [None]
        joined = next((s["options"]["byField"] for s in panel["transformations"] if s["id"] == "joinByField"), None)
        if joined:
            by_query = {ref: {joined: ["x"], **columns} for ref, columns in by_query.items()}
        found[key] = [rows(ref, columns) for ref, columns in by_query.items()]
    return found


#: Board, panel, value, colour.
COLOURS = [
    ("national", 2, -1.23, "red"),
    ("national", 2, 0, "text"),
    ("national", 5, 0, "green"),
    ("national", 5, 1, "red"),
    ("national", 6, 0, "green"),
    ("national", 6, 3, "orange"),
    ("national", 9, -0.01, "red"),
    ("national", 9, 0, "green"),
    ("agency", 16, 9.99, "text"),
    ("agency", 16, 10, "orange"),
    ("pipeline", 1, 4.9, "green"),
    ("pipeline", 1, 5, "orange"),
    ("pipeline", 1, 10, "red"),
    ("pipeline", 2, 29_999, "orange"),
    ("pipeline", 2, 30_000, "red"),
    ("pipeline", 4, 0.99, "orange"),
    ("pipeline", 4, 1, "red"),
    ("pipeline", 7, 9, "red"),
    ("pipeline", 7, 20, "green"),
    ("pipeline", 30, 0, "green"),
    ("pipeline", 30, 1, "red"),
    ("monitoring", 2, 0, "green"),
    ("monitoring", 2, 1, "red"),
    ("monitoring", 3, 0, "red"),
    ("monitoring", 3, 1, "green"),
]
BOTH = {"agency": ["H17", "G02"]}
RANKING = [
    rows("A", {**BOTH, "block": ["province", "ministry"], "name": ["Đà Nẵng", "Bộ Công an"], "Value #A": [1, 1]}),
    rows("B", {**BOTH, "Value #B": [2, 0]}),
    *(rows(ref, {"agency": ["H17"], f"Value #{ref}": [value]}) for ref, value in
      {"C": 4.97, "D": -1.23, "E": 48, "F": 61729, "G": 5, "H": 19}.items()),
    rows("I", {**BOTH, "Value #I": [2, 0]}),
    rows("J", {"agency": ["H17"], "Value #J": [1732700000000]}),
]  # fmt: skip
_LABELS = {"severity": "critical", "alertname": "AgencyRateLow", "agency": "H17", "name": "Đà Nẵng"}
_LABELS |= {"kpi": "I1", "window": "1d", "rung": "below5"}
ALERT = {name: [value] for name, value in _LABELS.items()} | {"Value": [1732700000000]}
LIMITS = [values(4, title="Tỷ lệ"), *(values(5, title=name, ref="B") for name in ("below5", "below10", "target"))]
HISTORY = rows("A", {"time": [0], "rate": [4.97], "dossiers": [24], "online": [3]})


@pytest.fixture(scope="module")
def shown(evaluate, panels):
    """What Grafana shows of every case below, asked at once: starting Node takes longest. Case -> answer; ``colors`` by name."""
    empty = tables(panels)
    cases = {("nothing", key): (panel, []) for key, panel in panels.items()}
    cases |= {("some", key): (panel, empty.get(key) or [values(*SAMPLES)]) for key, panel in panels.items()}
    cases |= {case: (panels[case[0], case[1]], [values(case[2])]) for case in COLOURS}
    cases |= {("state", value): (panels["agency", 3], [values(value)]) for value, _, _ in STATES}
    cases |= {("banner", value): (panels["national", 101], [values(value)]) for value, _, _ in BANNERS}
    cases |= {
        "ranking": (panels["national", 7], RANKING),
        "alert": (panels["national", 10], [rows("A", ALERT)]),
        "limits": (panels["agency", 7], LIMITS),
        "history": (panels["agency", 9], [HISTORY]),
    }
    found, colors = evaluate(list(cases.values()))
    return dict(zip(cases, found, strict=True)) | {"colors": colors}


def test_missing_data_is_never_green_and_never_a_number(shown, panels):
    """Without an answer, and for a value that is missing, every panel and column shows a text, in no colour that means well."""
    for key in panels:
        nothing, some = shown["nothing", key], shown["some", key]
        missing = [nothing["nothing"], *nothing["values"]]
        missing += [field["cells"][-1] for frame in some["fields"] for field in frame if field["type"] != "time"]
        for display in missing:
            if display["text"] == "x":  # what tables are joined by
                continue
            assert not re.search(r"\d", display["text"]), (key, display)
            if display["text"].startswith("KHÔNG"):
                assert display["color"] == shown["colors"]["red"], (key, display)
            else:
                assert display["color"] == GREY, (key, display)


def test_values_are_written_as_in_every_other_place(shown, panels):
    """Rates keep the two decimals that the query cut; counts have Vietnamese thousands; no unit brings English words."""
    for key in panels:
        for field in (field for frame in shown["some", key]["fields"] for field in frame):
            texts = [cell["text"] for cell in field["cells"]]
            assert not any(ENGLISH.search(text) or "  " in text for text in texts), (key, texts)

    def texts(board, number):
        return [cell["text"] for cell in shown["some", (board, number)]["fields"][0][1]["cells"]]

    assert texts("national", 1)[:3] == ["0.00%", "4.97%", "5.00%"]
    assert texts("national", 4)[4] == "61.729"
    assert texts("pipeline", 1)[1] == "5.0 phút"


def test_thresholds_colour_values(shown):
    """At each threshold the colour changes, on the right side."""
    wrong = [case for case in COLOURS if shown[case]["values"][0]["color"] != shown["colors"][case[3]]]
    assert wrong == []


def test_states_and_banner_are_words(shown):
    """Each state of an agency and of the data is shown by its word, in its colour."""
    for kind, texts in (("state", STATES), ("banner", BANNERS)):
        for value, text, color in texts:
            [display] = shown[kind, value]["values"]
            assert (display["text"], display["color"]) == (text, shown["colors"][color])


def test_the_ranking(shown):
    """Ten answers become one row for each agency, in the order of the columns, with words, colours and links to the agency."""
    [frame] = shown["ranking"]["fields"]
    assert {field["title"]: [cell["text"] for cell in field["cells"]] for field in frame} == {
        "Mã": ["H17", "G02"],
        "Cơ quan": ["Đà Nẵng", "Bộ Công an"],
        "Khối": ["Tỉnh, thành phố", "Bộ, ngành"],
        "Mức": ["Dưới 5 %", "Không có dữ liệu"],
        "Tỷ lệ": ["4.97%", "—"],
        "± tuần": ["-1.23 điểm %", "—"],
        "Tử số": ["48", "—"],
        "Mẫu số": ["61.729", "—"],
        "Ngưỡng": ["5.00%", "—"],
        "Còn thiếu": ["19", "—"],
        "Cảnh báo": ["2", "0"],
        "Sự kiện cuối": ["16:33 27/11/2024", "—"],
    }
    fields = {field["title"]: field for field in frame}
    colors = shown["colors"]
    assert [cell["color"] for cell in fields["Mức"]["cells"]] == [colors["red"], GREY]
    assert fields["Cảnh báo"]["cells"][1]["color"] == colors["text"]
    for title in ("Mã", "Cơ quan"):
        [links] = fields[title]["links"]
        assert [link.rpartition("&")[2] for link in links] == ["var-agency=H17", "var-agency=G02"]


def test_alerts_lead_to_the_runbook(shown):
    """An alert is named by its summary and leads to its section of the runbook; severity and window are words."""
    fields = {field["title"]: field for field in shown["alert"]["fields"][0]}
    assert [field["cells"][0]["text"] for field in fields.values()] == [
        *("Nghiêm trọng", "Tỷ lệ hồ sơ trực tuyến dưới ngưỡng cảnh báo", "H17", "Đà Nẵng"),
        *("Tỷ lệ hồ sơ trực tuyến toàn trình", "24 giờ qua", "Ngưỡng cảnh báo", "16:33 27/11/2024"),
    ]
    assert fields["Mức độ"]["cells"][0]["color"] == shown["colors"]["red"]
    assert fields["Cảnh báo"]["links"] == [["${portalpulse}/runbook/vi#AgencyRateLow"]]


def test_limits_are_drawn(shown, panels):
    """The limits of an agency are dashed lines in their colours, named by words; fixed thresholds are drawn on other charts."""
    colors = shown["colors"]
    lines = {frame[1]["title"]: frame[1] for frame in shown["limits"]["fields"]}
    assert list(lines) == ["Tỷ lệ", "Ngưỡng cảnh báo", "Mức 10 %", "Mục tiêu"]
    assert "lineStyle" not in lines.pop("Tỷ lệ")["custom"]
    assert {line["custom"]["lineStyle"]["fill"] for line in lines.values()} == {"dash"}
    assert [line["cells"][0]["color"] for line in lines.values()] == [colors[name] for name in ("red", "orange", "yellow")]
    columns = {field["title"]: field for field in shown["history"]["fields"][0]}
    assert columns["Hồ sơ trong ngày"]["custom"]["drawStyle"] == "bars"
    assert columns["Hồ sơ trong ngày"]["cells"][0]["text"] == "24"
    assert columns["Tỷ lệ 7 ngày"]["cells"][0]["text"] == "4.97%"
    drawn = {key for key, panel in panels.items() if panel["fieldConfig"]["defaults"].get("custom", {}).get("thresholdsStyle")}
    assert drawn == {("agency", 9), ("pipeline", 16), ("pipeline", 18), ("pipeline", 21), ("monitoring", 14)}
