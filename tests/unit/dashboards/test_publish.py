"""Pushing boards is idempotent, and every failure is one sentence with a remedy."""

from __future__ import annotations

import copy

import pytest

from dashboards.grafana.changes import changes
from dashboards.grafana.generate import boards
from dashboards.grafana.publish import FOLDER_UID, push
from domain.errors import ConfigurationError, UnavailableError
from tests.grafana_stand_in import TOKEN, grafana_stand_in

BOARDS = boards()


@pytest.fixture
def grafana():
    """A stand-in for Grafana on a free port; `fails_with` makes it refuse everything."""
    with grafana_stand_in() as server:
        yield server


def writes(grafana):
    """The requests that change something."""
    return [call for call in grafana.calls if call[0] != "GET"]


def actions(pushed):
    """The action for each board."""
    return [one.action for one in pushed.boards]


def test_a_second_push_changes_nothing(grafana):
    """The first push creates folder and boards; the second finds them unchanged and writes nothing."""
    assert actions(push(BOARDS, url=grafana.url, token=TOKEN)) == ["created"] * len(BOARDS)
    stored, written = copy.deepcopy(grafana.boards), writes(grafana)
    assert len(written) == len(BOARDS) + 1
    assert actions(push(BOARDS, url=grafana.url, token=TOKEN)) == ["unchanged"] * len(BOARDS)
    assert (writes(grafana), grafana.boards) == (written, stored)
    assert set(grafana.folders) == {FOLDER_UID}


def test_a_changed_board_is_brought_back(grafana):
    """A board edited in Grafana, or moved out of the folder, is written again, and only this one."""
    unchanged = ["unchanged"] * (len(BOARDS) - 1)
    push(BOARDS, url=grafana.url, token=TOKEN)
    stored = grafana.boards[BOARDS[0]["uid"]]
    stored["dashboard"]["title"] = "edited"
    assert actions(push(BOARDS, url=grafana.url, token=TOKEN)) == ["updated", *unchanged]
    grafana.boards[BOARDS[0]["uid"]]["meta"]["folderUid"] = "elsewhere"
    assert actions(push(BOARDS, url=grafana.url, token=TOKEN)) == ["updated", *unchanged]


@pytest.mark.parametrize("end", ["", "/"])
def test_a_sub_path_is_kept(grafana, end):
    """A Grafana below a sub-path gets its requests there, with or without a final slash."""
    grafana.prefix = "/giam-sat"
    push(BOARDS, url=f"{grafana.url}/giam-sat{end}", token=TOKEN)
    assert all(path.startswith("/giam-sat/api/") for _, path, _ in grafana.calls)
    assert set(grafana.boards) == {board["uid"] for board in BOARDS}


@pytest.mark.parametrize(
    ("failure", "problem", "remedy"),
    [
        ((401, {"message": "no"}), "does not accept the token", "service account"),
        ((403, {"message": "You'll need permissions"}), "(status 403, You'll need permissions)", "role Editor"),
        ((412, {"message": "A dashboard with the same name exists", "status": "name-exists"}), "same name", "--folder"),
        ((412, {"message": "changed by someone else", "status": "version-mismatch"}), "changed by someone", "Push again"),
        ((400, {"message": "Cannot save provisioned dashboard"}), "provisioned dashboard", "from a file"),
        ((400, {"message": "bad"}), "(status 400, bad)", "log"),
        ((400, {"traceID": ""}), "(status 400)", "log"),
        ((500, {"message": "broken"}), "failed (status 500, broken)", "log"),
        ((502, "<html>bad gateway</html>"), "failed (status 502)", "log"),
    ],
)
def test_refusals_carry_a_remedy(grafana, failure, problem, remedy):
    """Grafana's error becomes a sentence with its message and a remedy, without JSON or HTML; the token is not shown."""
    grafana.fails_with = failure
    with pytest.raises(UnavailableError) as caught:
        push(BOARDS, url=grafana.url, token=TOKEN)
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy
    assert TOKEN not in str(caught.value)
    assert not any(sign in caught.value.problem for sign in "{}<>`")


LOGIN = "<html><title>Sign in</title></html>"


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ((200, LOGIN, "text/html", {}), "is not the API of Grafana"),
        ((200, LOGIN, "application/json", {}), "is not the API of Grafana"),
        ((200, {}, "application/json", {}), "is not the API of Grafana"),
        ((200, [], "application/json", {}), "is not the API of Grafana"),
        ((200, "null", "application/json", {}), "is not the API of Grafana"),
        ((204, "", "text/plain", {}), "is not the API of Grafana"),
        ((404, "nothing here", "text/plain", {}), "is not the API of Grafana"),
        ((404, {"message": "Not found"}, "application/json", {}), "must include the sub-path"),
        ((403, LOGIN, "text/html", {}), "is not the API of Grafana"),
        ((302, "", "text/html", {"Location": "/login"}), "redirects to /login"),
        ((308, "", "text/html", {"Location": "https://grafana.example/"}), "redirects to https://grafana.example/"),
    ],
    ids=str,
)
def test_a_server_that_is_not_grafana(grafana, says, words):
    """A login page, a redirect, an empty object or any other answer is an error, and nothing is written."""
    grafana.says = says
    with pytest.raises(UnavailableError) as caught:
        push(BOARDS, url=grafana.url, token=TOKEN)
    assert words in str(caught.value)
    assert not writes(grafana)


def test_a_login_page_behind_a_healthy_start(grafana):
    """A wrong answer after the first request is the same error, and nothing is written."""

    def refused():
        with pytest.raises(UnavailableError, match="is not the API of Grafana"):
            push(BOARDS, url=grafana.url, token=TOKEN)
        assert not writes(grafana)

    known, grafana.settings = grafana.settings, []
    refused()
    grafana.settings = known
    for answer in ((200, {}), (404, LOGIN)):
        grafana.fails_with = answer
        refused()
    grafana.fails_with = None
    grafana.folders[FOLDER_UID] = {"uid": FOLDER_UID}
    grafana.boards[BOARDS[0]["uid"]] = {"login": "please"}
    refused()


def test_a_dry_run_writes_nothing(grafana):
    """A dry run reports what would happen to each board and shows the differences; Grafana is not changed."""
    assert actions(push(BOARDS, url=grafana.url, token=TOKEN, dry_run=True)) == ["created"] * len(BOARDS)
    assert not writes(grafana)
    push(BOARDS, url=grafana.url, token=TOKEN)
    stored = grafana.boards[BOARDS[0]["uid"]]
    stored["dashboard"]["title"] = "edited"
    stored["meta"]["folderUid"] = "elsewhere"
    written = writes(grafana)
    would, *others = push(BOARDS, url=grafana.url, token=TOKEN, dry_run=True).boards
    assert would.action == "updated"
    assert {one.action for one in others} == {"unchanged"}
    assert would.changes == (f"~folder: elsewhere -> {FOLDER_UID}", f'~title: "edited" -> "{BOARDS[0]["title"]}"')
    assert writes(grafana) == written
    assert stored["dashboard"]["title"] == "edited"


def test_another_folder(grafana):
    """The boards are pushed into the given folder, which is created when it is missing."""
    push(BOARDS, url=grafana.url, token=TOKEN, folder="giam-sat")
    assert set(grafana.folders) == {"giam-sat"}
    assert {board["meta"]["folderUid"] for board in grafana.boards.values()} == {"giam-sat"}


@pytest.mark.parametrize(
    ("version", "refused"), [("9.5.1", True), ("11.6.0", True), ("12.0.0", False), ("13.0.1", False), ("", False)]
)
def test_an_old_grafana_is_refused(grafana, version, refused):
    """A Grafana that is too old for the boards is refused; one that hides its version is not."""
    grafana.version = version
    if refused:
        with pytest.raises(ConfigurationError, match=f"is version {version}; the boards need 12"):
            push(BOARDS, url=grafana.url, token=TOKEN)
    else:
        assert actions(push(BOARDS, url=grafana.url, token=TOKEN)) == ["created"] * len(BOARDS)


def test_a_missing_data_source_is_reported(grafana):
    """The push names each kind of data source that a Grafana lacks, and what stays empty without it."""
    assert push(BOARDS, url=grafana.url, token=TOKEN).notes == ()
    del grafana.settings["datasources"]["ClickHouse"]
    [note] = push(BOARDS, url=grafana.url, token=TOKEN).notes
    assert "no data source of the type grafana-clickhouse-datasource. History" in note
    grafana.settings = {"datasources": {"-- Grafana --": {"type": "datasource"}}}
    assert "no data source of the type prometheus. The boards stay empty" in push(BOARDS, url=grafana.url, token=TOKEN).notes[0]


def test_changes_are_readable():
    """A dry run names panel and field of each change, with the values before and after; new and removed panels are one line."""
    board = BOARDS[0]
    edited = copy.deepcopy(board) | {"id": 5, "version": 9}
    assert changes(edited, board) == ()
    edited["panels"][2]["fieldConfig"]["defaults"]["decimals"] = 1
    edited["templating"]["list"][3].pop("label")
    edited["panels"].append({"id": 900, "title": "của tôi"})
    gone = edited["panels"].pop(5)
    assert changes(edited, board) == (
        '+templating.list[3].label: "Kỳ"',
        "-panel 900 (của tôi)",
        f"+panel {gone['id']} ({gone['title']})",
        "~panel 1 (Tỷ lệ cả nước): fieldConfig.defaults.decimals: 1 -> 2",
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"url": "127.0.0.1:13000"}, "Write http://127.0.0.1:13000"),
        ({"url": "localhost"}, "Write http://localhost"),
        ({"url": "ftp://h"}, "is not the address of a web server"),
        ({"url": "http://"}, "is not the address of a web server"),
        ({"url": "http://127.0.0.1:not-a-port"}, "is not the address of a web server"),
        ({"url": "http://h:99999"}, "is not the address of a web server"),
        ({"url": "http://[::1"}, "is not the address of a web server"),
        ({"url": ""}, "is not the address of a web server"),
        ({"token": ""}, "token of Grafana is empty"),
        ({"token": " \n"}, "token of Grafana is empty"),
        ({"token": "glsa\nx"}, "not allowed in a token"),
        ({"token": "thẻ"}, "not allowed in a token"),
        ({"folder": "Giám sát"}, "not the uid of a folder"),
        ({"folder": ""}, "not the uid of a folder"),
    ],
    ids=str,
)
def test_invalid_arguments(grafana, arguments, words):
    """An address without scheme, an empty token and a title instead of a uid are errors before any request."""
    with pytest.raises(ConfigurationError) as caught:
        push(BOARDS, **({"url": grafana.url, "token": TOKEN} | arguments))
    assert words in str(caught.value)
    assert not grafana.calls


def test_a_wrong_token_is_refused(grafana):
    """An unknown token is named as the cause."""
    with pytest.raises(UnavailableError, match="does not accept the token"):
        push(BOARDS, url=grafana.url, token="glsa_other")


def test_no_grafana_answers():
    """An address at which no Grafana answers is an error of one sentence."""
    with pytest.raises(UnavailableError, match="No Grafana answers"):
        push(BOARDS, url="http://127.0.0.1:9", token=TOKEN)
