"""`alerts simulate` and `alerts test`: who would get what, when, from the real routes."""

from __future__ import annotations

import datetime as dt
from fractions import Fraction

import pytest
import typer
from typer.testing import CliRunner

from dashboards.alert_commands import register
from dashboards.alertmanager.generate import AlertTiming, render_routes
from dashboards.notify.content import Links
from dashboards.notify.recipients_file import EXAMPLE, read_recipients
from dashboards.notify.simulation import Scene, agency_alerts, simulate
from domain.agencies import AgencyRegistry
from domain.errors import ConfigurationError
from domain.periods import VIETNAM

REGISTRY = AgencyRegistry.packaged()
SUNDAY = dt.datetime(2026, 11, 29, 22, tzinfo=VIETNAM)
MONDAY = dt.datetime(2026, 11, 30, 9, tzinfo=VIETNAM)
WAIT = dt.timedelta(seconds=30)


@pytest.fixture(scope="module")
def played():
    """Plays a scene: who, language, when."""
    directory = read_recipients(EXAMPLE, REGISTRY, day=SUNDAY.date())
    config = render_routes(directory, timing=AlertTiming.production(), relay_url="http://r")

    def go(scene):
        found = simulate(directory, config, scene.alert(REGISTRY), links=Links())
        return [(each.key, each.language, each.at) for each in found], found

    return go


@pytest.mark.parametrize(
    ("agency", "severity", "at", "expected"),
    [
        ("H17", "critical", SUNDAY, [("dau-moi-h17", 0), ("truc-van-hanh", 0), ("lanh-dao-h17", 4)]),
        ("H17", "critical", MONDAY, [("dau-moi-h17", 0), ("truc-van-hanh", 0), ("lanh-dao-h17", 4)]),
        ("H17", "warning", SUNDAY, [("truc-van-hanh", 0), ("dau-moi-h17", 9.5)]),
        ("H17", "info", MONDAY, [("dau-moi-h17", 0), ("truc-van-hanh", 0)]),
        ("G02", "warning", SUNDAY, [("truc-van-hanh", 0), ("observer", 9.5)]),
        ("G02", "critical", SUNDAY, [("observer", 0), ("truc-van-hanh", 0)]),
        ("H26", "critical", SUNDAY, [("truc-van-hanh", 0)]),
        ("Z99", "warning", SUNDAY, [("truc-van-hanh", 0)]),
    ],
)
def test_who_is_told_when(played, agency, severity, at, expected):
    """For each severity and hour: the people of the agency, operations, the superior after four hours, in their language."""
    people, deliveries = played(Scene(agency, Fraction(3, 100), at, severity=severity))
    assert [key for key, *_ in people] == [key for key, _ in expected]
    for (_, language, when), (key, hours) in zip(people, expected, strict=True):
        assert language == ("en" if key == "observer" else "vi")
        assert when == at + (dt.timedelta(hours=hours) if hours else WAIT)
    for delivery in deliveries:
        assert ("3.00 %, below 5 %" if delivery.language == "en" else "3,00 %, dưới ngưỡng 5 %") in delivery.message.subject


@pytest.fixture
def run():
    """Runs a command line."""
    app = typer.Typer()
    register(app)
    return lambda *arguments: CliRunner().invoke(app, ["alerts", *arguments, "--recipients", str(EXAMPLE)])


def test_the_command_answers_the_question(run):
    """Who would get what if H17 fell to 3 % on a Sunday night: times, people, channels and texts."""
    result = run("simulate", "--agency", "H17", "--rate", "3", "--at", "2026-11-29T22:00", "--message")
    assert result.exit_code == 0, result.output
    first, *_ = result.output.splitlines()
    assert first == "Sun 2026-11-29 22:00:30  dau-moi-h17 (Đầu mối chuyển đổi số), mail, now"
    assert "Mon 2026-11-30 02:00:00  lanh-dao-h17 (Lãnh đạo đơn vị), mail, if it still fires after 4 h" in result.output
    assert "Cần thêm 22 hồ sơ toàn trình để đạt 5 %." in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--rate", "x"), "--rate 'x' is not a rate. Write percent"),
        (("--rate", "101"), "not a rate"),
        (("--rate", "12"), "12 % is not below a threshold. Name a higher one with --threshold."),
        (("--rate", "3", "--at", "Sunday"), "--at 'Sunday' is not a time. Write 2026-11-29T22:00."),
    ],
)
def test_what_cannot_be_played(run, arguments, said):
    """A wrong rate or time is one sentence that says what to write."""
    error = run("simulate", "--agency", "H17", *arguments).exception
    assert isinstance(error, ConfigurationError)
    assert said in str(error)


def test_a_test_message_needs_a_person_and_a_channel(run):
    """An unknown person or channel is an error that lists the known ones."""
    assert "The file has truc-van-hanh" in str(run("test", "nobody").exception)
    assert "Choose mail, telegram" in str(run("test", "truc-van-hanh", "--channel", "sms").exception)
    assert "with a secret cannot be read" in str(run("test", "truc-van-hanh").exception)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("AgencyRateDropped", "giảm từ 6,00 % (một tuần trước) xuống 3,00 % (30/1.000 hồ sơ)."),
        ("AgencyRateSurged", "tăng từ 1,50 % (một tuần trước) lên 3,00 %"),
        ("AgencySilent", "không có sự kiện nào trong 14 giờ làm việc"),
        ("AgencyOffPace", "cả năm là 3,00 %, dưới chỉ tiêu 5 %"),
        ("AgencyAcceptedLate", "3,00 % hồ sơ đăng ký trực tuyến bị tiếp nhận trễ"),
    ],
)
def test_every_alert_on_agencies_is_known(played, name, said):
    """Each goes to the agency and to operations, in office hours, with its own sentence and the summary of its rule."""
    people, deliveries = played(Scene("H17", Fraction(3, 100), MONDAY, severity="warning", name=name))
    assert [key for key, *_ in people] == ["dau-moi-h17", "truc-van-hanh"]
    assert all(said in delivery.message.text for delivery in deliveries)
    assert set(agency_alerts()) >= {name, "AgencyRateLow"}
