"""What messages say: compared byte for byte with expected ones in tests/data/messages, and rule by rule."""

from __future__ import annotations

from fractions import Fraction

import pytest

from dashboards.notify.alerts import Figures
from dashboards.notify.content import Links, content_of
from dashboards.notify.messages import TELEGRAM_LENGTH, message_of
from dashboards.notify.words import LANGUAGES
from domain.indicators import Ratio
from tests.alert_messages import CASES, DATA, LINKS, alert, fault, forms, written


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", CASES)
def test_a_message_is_the_expected_one(name, language):
    """Subject, text, HTML and Telegram of each case are exactly the expected ones, in both languages."""
    for form, text in forms(written(name, language)).items():
        assert text == (DATA / f"{name}.{language}.{form}").read_text(encoding="utf-8"), (name, language, form)


def said(*given, language="vi", present=lambda _: None):
    """Subject and text of a message without links."""
    words = LANGUAGES[language]
    message = message_of(content_of(given, words, links=Links(), present=present), words)
    return f"{message.subject}\n{message.text}"


@pytest.mark.parametrize(
    ("numerator", "denominator", "threshold", "missing"),
    [
        (49, 1000, "0.05", 2),  # one more is 50 of 1,001
        (50, 1000, "0.05", 0),
        (0, 30, "0.05", 2),
        (7, 100, "0.07", 0),
        (0, 100, "0.07", 8),
        (99, 100, "1", None),
        (100, 100, "1", 0),
        (61_729, 1_234_600, "0.175", 187_062),
    ],
)
def test_the_deficit_is_true(numerator, denominator, threshold, missing):
    """The number of new dossiers, all online, that reach the threshold: exact, and one fewer does not reach it."""
    limit = Fraction(threshold)
    found = Figures(Ratio(numerator, denominator), threshold=limit).missing
    assert found == missing
    if found:
        assert Fraction(numerator + found, denominator + found) >= limit
        assert Fraction(numerator + found - 1, denominator + found - 1) < limit


def test_a_rate_is_cut():
    """4.9999 % is not printed as 5,00 %; thresholds have no decimals that say nothing."""
    text = said(alert(numerator="49999", denominator="1000000", threshold="0.05"))
    assert "4,99 % (49.999/1.000.000 hồ sơ), dưới ngưỡng 5 %." in text
    assert "ngưỡng 17,5 %" in said(alert(threshold="0.175"))


def test_what_cannot_be_reached_is_said():
    """For a threshold of 100 % no number of dossiers helps in this period."""
    assert "Không thể đạt 100 % trong kỳ này." in said(alert(threshold="1"))
    assert "100 % cannot be reached in this period." in said(alert(threshold="1"), language="en")


def test_a_step_up_the_ladder_is_not_an_end():
    """When the worst rung ends and a lower one of the same window fires, only what fires is told."""
    text = said(alert(rung="zero", firing=False), alert(rung="below5"))
    assert text.startswith("[1 cảnh báo] Hà Nội")
    assert "KẾT THÚC" not in text


def test_the_worst_window_comes_first():
    """The most severe window is told in full, the others in one line; all of them are counted."""
    text = said(alert(window="ytd", severity="info"), alert(window="7d", severity="warning"), alert(window="1d"))
    assert text.startswith("[3 cảnh báo]")
    assert text.count("dưới ngưỡng 5 %.") == 1
    assert text.index("trong 24 giờ qua") < text.index("trong 7 ngày qua") < text.index("từ đầu năm")


def test_an_end_has_the_present_rate():
    """The rate of an ended alert is the present one; where it is not known the last one, called so."""
    assert "hiện là 6,94 % (25/360 hồ sơ)" in said(alert(firing=False), present=lambda _: Ratio(25, 360))
    assert "số liệu cuối cùng trước khi kết thúc là 2,88 %" in said(alert(firing=False))


def test_an_alert_without_figures_is_told():
    """Annotations that are missing or wrong never prevent a message."""
    for notes in ({"numerator": ""}, {"denominator": "x"}, {"threshold": ""}, {"since": "never"}, {"previous": "1/0"}):
        for firing in (True, False):
            assert "Hà Nội (H26)" in said(alert(firing=firing, **notes)), notes
    assert "Sự kiện mới nhất" in said(fault())
    assert "The newest event" in said(fault(), language="en")


def test_no_link_that_is_not_set():
    """Without addresses there is no link and no placeholder; a code cannot break an address."""
    words = LANGUAGES["vi"]
    assert "http" not in said(alert(runbook_url="https://runbooks.example.vn/AgencyRateLow"))
    message = message_of(content_of([alert(agency="H2&x=<1>")], words, links=LINKS), words)
    assert "?agency=H2%26x%3D%3C1%3E" in message.text


def test_eighty_four_agencies_fit():
    """Many agencies are one line each, the worst first; Telegram gets what fits and the number of the rest."""
    many = [alert(agency=f"H{number:02d}", numerator=str(number % 5)) for number in range(84)]
    words = LANGUAGES["vi"]
    message = message_of(content_of(many, words, links=LINKS), words)
    assert message.subject == "[84 cảnh báo] 84 cơ quan: tỷ lệ hồ sơ trực tuyến dưới ngưỡng cảnh báo"
    lines = [line for line in message.text.splitlines() if line.startswith("- ")]
    assert len(lines) == 84
    assert "0,00 %" in lines[0]
    assert len(message.telegram) <= TELEGRAM_LENGTH
    listed = message.telegram.count("Hà Nội (H")
    assert f"… và {84 - listed} cảnh báo khác." in message.telegram


def test_names_are_escaped():
    """Markup in a name is text in HTML and Telegram, and stays as it is in plain text."""
    message = written("many", "vi")
    assert "Bộ <Y tế> & khác (G15)" in message.text
    for text in (message.html, message.telegram):
        assert "Bộ &lt;Y tế&gt; &amp; khác (G15)" in text
