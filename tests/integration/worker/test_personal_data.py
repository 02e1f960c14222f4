"""Personal data that portals send in any place are in no table, log, metric, dead letter and response; secrets neither."""

from __future__ import annotations

import json
import subprocess

import httpx
import pytest
from confluent_kafka import Producer

from deploy.native.processes import wait_until
from deploy.native.services.portalpulse_process import PortalPulseProcess
from domain.events import FIELDS
from pipeline.decode.known_values import has_shape
from tests.factories import a_message

pytestmark = pytest.mark.integration

#: One of each kind. None is part of anything else that the test sends or the program says.
PEOPLE = {
    "name": "Nguyễn Văn Đánh Dấu",
    "plain_name": "Tran Thi Danh Dau",
    "citizen_id": "001099912345",
    "phone": "0987612345",
    "e-mail": "danh.dau@congdan.vn",
    "address": "12/34 Phố Huế, Hà Nội",
    "birth": "1987-03-21",
    "birth_in_words": "21/03/1987",
    "account": "19036987654321",
}
TOKEN = "token-of-the-process-41967"
SECRETS = {"PORTALPULSE_HTTP__OPERATE_TOKEN": TOKEN, "PORTALPULSE_NOTIFY__SMTP_PASSWORD": "password-of-the-mail-58213"}


def messages_with(person):
    """Values of messages, each with the person's datum somewhere: those that parse, and those that do not."""
    stranger = {"ho_ten": person, person: 1, "nguoi_nop": {"ghi_chu": [{"x": person, person: None}]}}
    twice = a_message(status=99)[:-1] + b"," + json.dumps({"agency_code": person}).encode()[1:-1] + b', "agency_code": "H17"}'
    deep = a_message()[:-1] + b', "a": ' + b"[" * 3_000 + json.dumps(person).encode() + b"]" * 3_000 + b"}"
    parsed = [
        a_message(**stranger),  # an event
        a_message(status=99, **stranger),
        a_message(agency_code="H99", **stranger),
        twice,
        deep,
        a_message(x=person * 10_000),  # too large
        json.dumps([person, {person: person}], ensure_ascii=False).encode(),
        json.dumps(person).encode(),
        *(a_message(**{field: person}) for field in FIELDS if not has_shape(field, person)),
        *(a_message(**{field: {person: [person]}}) for field in FIELDS),
    ]
    if person.isdigit():
        parsed += [b"%d" % int(person), *(a_message(**{field: int(person)}) for field in FIELDS)]
    text = json.dumps({"ho_ten": person}, ensure_ascii=False).encode()
    return parsed, [text[:-2], b"\xff" + text, text.decode().encode("utf-16"), text + text]


def forms(person):
    """How a datum may be written: as it is, escaped in JSON, and in a repr."""
    return {person, json.dumps(person)[1:-1], ascii(person)[1:-1]}


ALL_FORMS = sorted(set().union(*map(forms, PEOPLE.values())))


def found_in(text):
    """The data of people and the secrets that a text holds."""
    return [form for form in (*ALL_FORMS, *SECRETS.values()) if form in text]


def rows_with_people(chain):
    """Rows of any table with a datum in any column, by table; without the bytes of messages that do not parse."""
    found = {}
    looked = "[" + ", ".join("'" + form.replace("\\", "\\\\").replace("'", "\\'") + "'" for form in ALL_FORMS) + "]"
    columns = chain.server.query(
        f"SELECT table, groupArray(name) FROM system.columns WHERE database = '{chain.database}' AND default_kind != 'EPHEMERAL' "
        "GROUP BY table FORMAT JSONCompact"
    )
    for table, names in json.loads(columns)["data"]:
        text = " || '\\n' || ".join(f"ifNull(toString(`{name}`), '')" for name in names)
        where = "kept != 'message'" if table == "dead_letters" else "1"
        rows = chain.number(f"SELECT countIf(multiSearchAny({text}, {looked})) FROM {{db}}.{table} WHERE {where}")
        if rows:
            found[table] = rows
    return found


def send_everything(chain):
    """Send all messages, with data of people as keys and in headers, too; returns how many parse, and how many do not."""
    producer = Producer({"bootstrap.servers": chain.kafka.bootstrap, "message.max.bytes": 2_000_000})
    parsed = unparsed = 0
    for person in PEOPLE.values():
        well_formed, malformed = messages_with(person)
        for value in (*well_formed, *malformed, b"", None):
            producer.produce(chain.topic, value, key=person.encode(), headers=[(person, person.encode())])
        parsed, unparsed = parsed + len(well_formed) + 2, unparsed + len(malformed)
    assert producer.flush(60) == 0
    return parsed, unparsed


def search_answers(url):
    """Ask with data of people in addresses and headers, then search all answers; returns the dead letters, and one with bytes."""
    operate = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        for person in PEOPLE.values():  # what people type into an address or a program sends beside it
            client.get("/api/v1/report", params={"from": person, "to": "2024-01-02"})
            client.get(f"/api/v1/dossiers/{person}", headers={"User-Agent": person.encode(), "Referer": person.encode()})
            client.get("/metrics", params={"x": person})
            client.post("/api/v1/dead-letters/replay", json={person: person}, headers=operate)
            client.get("/api/v1/status", headers={"Authorization": f"Bearer {person}".encode()})
        day = {"from": "2024-01-01", "to": "2024-01-03"}
        asked = [
            *(("/metrics", {}), ("/healthz", {}), ("/readyz", {}), ("/api/v1/status", {}), ("/api/v1/snapshot", {})),
            *(("/api/v1/report", day), ("/report", day), ("/api/v1/misplaced", day), ("/api/v1/audit/unread", {})),
            *(("/api/v1/events", day), ("/api/v1/audit/repeats", day), ("/api/v1/agencies/H17", {}), ("/api/v1/alerts", {})),
        ]
        for path, parameters in asked:
            answer = client.get(path, params=parameters, headers=operate)
            assert found_in(answer.text) == [], path
        page = client.get("/api/v1/dead-letters", params={"limit": 1_000}, headers=operate)
        assert found_in(page.text) == []
        letters = page.json()["letters"]
        one_of_each = {(letter["reason"], letter["kept"], letter["size"]): letter for letter in letters}
        for letter in one_of_each.values():
            path = f"/api/v1/dead-letters/{letter['topic']}/{letter['partition']}/{letter['offset']}"
            shown = client.get(path, headers=operate)
            if letter["kept"] == "message":
                assert client.get(path).status_code in {401, 403}
                kept_bytes = letter
            else:
                assert found_in(shown.text) == [], shown.text
    return letters, kept_bytes


def test_personal_data_and_secrets_are_nowhere(chain):
    """Only the bytes of what does not parse hold any, for operators; days later they do not, either."""
    chain.environment |= SECRETS | {
        "PORTALPULSE_DEAD_LETTERS__MAX_RATIO": "0",
        "PORTALPULSE_DEAD_LETTERS__BYTES_DAYS": "7",
        "PORTALPULSE_LOG__LEVEL": "debug",
    }
    worker = _worker(chain)
    parsed, unparsed = send_everything(chain)
    events = len(PEOPLE)
    wait_until(lambda: chain.dead_letters() == parsed - events + unparsed, timeout=150, what="the dead letters")
    wait_until(lambda: chain.rolled_up() == chain.stored() == events, timeout=60, what="the events")
    assert chain.number("SELECT count() FROM {db}.dead_letters FINAL WHERE kept = 'message'") == unparsed
    assert rows_with_people(chain) == {}

    letters, kept_bytes = search_answers(worker.url)
    assert len(letters) == parsed - events + unparsed
    listed = chain.command("dead-letters", "list", "--limit", "1000", PORTALPULSE_LOG__LEVEL="debug")
    assert found_in(listed.stdout + listed.stderr) == []
    arguments = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True).stdout
    assert [secret for secret in SECRETS.values() if secret in arguments] == []
    worker.stop()
    assert found_in(worker.process.log.read_text()) == []

    # Seven days later the bytes go, too.
    chain.environment["PORTALPULSE_DEAD_LETTERS__BYTES_DAYS"] = "0"
    worker = _worker(chain)
    kept = "SELECT count() FROM {db}.dead_letters WHERE kept = 'message' OR kept = 'removed' AND (key != '' OR value != '')"
    wait_until(lambda: chain.number(kept) == 0, timeout=60, what="the bytes to be removed")
    assert rows_with_people(chain) == {}
    assert chain.dead_letters() == len(letters)
    place = (kept_bytes["topic"], str(kept_bytes["partition"]), str(kept_bytes["offset"]))
    said = chain.command("dead-letters", "show", *place)
    assert "kept: neither key nor value" in said.stdout, said.stderr
    assert "removed: 20" in said.stdout
    again = chain.command("dead-letters", "replay", "--dry-run")
    assert f"{unparsed} cannot be sent: their bytes were removed." in again.stdout, again.stderr
    worker.stop()
    assert found_in(worker.process.log.read_text()) == []


def _worker(chain):
    """A further all-in-one worker that is ready."""
    worker = PortalPulseProcess(
        "worker", ["--all-in-one"], environment=chain.environment, log_dir=chain._log_dir, name=f"worker {len(chain.workers)}"
    )
    chain.workers.append(worker)
    worker.launch()
    worker.await_ready(timeout=150)
    return worker
