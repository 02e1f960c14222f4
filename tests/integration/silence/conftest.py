"""A Kafka with passwords, TLS and access rights, and workers with short timeouts."""

from __future__ import annotations

import subprocess
import time
import uuid
from functools import cached_property

import httpx
import pytest
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    OffsetSpec,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from deploy.native.ports import LOOPBACK, free_port, free_ports
from deploy.native.processes import wait_until
from deploy.native.services.kafka import KafkaNode
from deploy.native.services.kafka_admin import admin_client
from deploy.native.services.portalpulse_process import PortalPulseProcess
from tests.factories import a_message
from tests.proxies import KafkaProxy, Proxy
from tests.sending import send

#: Shortest and longest session timeout that this broker accepts; the settings accept longer ones (milliseconds).
SESSION_LIMITS = (7_000, 40_000)
PASSWORD = "correct horse"
#: Addresses that the broker advertises at two of its listeners: no process listens at the first, the second does not resolve.
NOBODY, NO_NAME = f"{LOOPBACK}:9", "broker.invalid:9092"
PERMANENT = 4_000  # days


class Authority:
    """A certificate authority made with openssl, and a broker certificate that it signed."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.file = folder / "ca.crt"
        self._run("req", "-x509", *self._key("ca"), "-out", self.file, "-days", str(PERMANENT), "-subj", "/CN=authority")

    def certify(self, *, start="20200101000000Z", end="20400101000000Z"):
        """Write broker.pem (key and certificate) with this validity, replacing an earlier one."""
        (self.folder / "index.txt").write_text("")
        (self.folder / "ca.cnf").write_text(
            f"[ca]\ndefault_ca=c\n[c]\ndatabase={self.folder}/index.txt\nrand_serial=yes\nunique_subject=no\n"
            f"new_certs_dir={self.folder}\ndefault_md=sha256\npolicy=p\nx509_extensions=e\n[p]\ncommonName=supplied\n"
            f"[e]\nsubjectAltName=IP:{LOOPBACK}\n"
        )
        self._run("req", "-new", *self._key("broker"), "-out", self.folder / "broker.csr", "-subj", "/CN=broker")
        with_authority = ("-cert", self.file, "-keyfile", self.folder / "ca.key")
        dates = ("-startdate", start, "-enddate", end)
        paths = ("-in", self.folder / "broker.csr", "-out", self.folder / "broker.crt")
        self._run("ca", "-batch", "-notext", "-config", self.folder / "ca.cnf", *with_authority, *dates, *paths)
        pem = (self.folder / "broker.key").read_text() + (self.folder / "broker.crt").read_text()
        (self.folder / "broker.pem").write_text(pem)

    def _key(self, name):
        return "-newkey", "rsa:2048", "-nodes", "-keyout", self.folder / f"{name}.key"

    def _run(self, *arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=30)


class GuardedKafka(KafkaNode):
    """One node with six listeners: plain with all rights (for the test), behind a proxy, with a password, with password and TLS.

    Through the last two the broker advertises an address at which no process listens, and one that does not resolve.
    """

    def __init__(self, *, authority, **options):
        super().__init__(**options)
        self.authority = authority
        self._behind_proxy, self.proxied, self.sasl, self.tls, self.lost, self.nameless = free_ports(6)
        self.proxy = KafkaProxy(self.proxied, self._behind_proxy)
        authority.certify()

    def _configure(self):
        super()._configure()
        plain, controller = self._membership.port, self._membership.controller_port
        login = "scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ports = {"PLAINTEXT": plain, "PROXIED": self._behind_proxy, "PASSWORD": self.sasl, "TLS": self.tls}
        ports |= {"LOST": self.lost, "NAMELESS": self.nameless}
        addresses = {name: f"{LOOPBACK}:{port}" for name, port in ports.items()}
        listeners = ",".join(f"{name}://{at}" for name, at in (addresses | {"CONTROLLER": f"{LOOPBACK}:{controller}"}).items())
        named = addresses | {"PROXIED": f"{LOOPBACK}:{self.proxied}", "LOST": NOBODY, "NAMELESS": NO_NAME}
        advertised = ",".join(f"{name}://{at}" for name, at in named.items())
        kinds = (
            "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,PASSWORD:SASL_PLAINTEXT,TLS:SASL_SSL,CONTROLLER:PLAINTEXT,"
            "LOST:PLAINTEXT,NAMELESS:PLAINTEXT"
        )
        low, high = SESSION_LIMITS
        with self._properties.open("a") as file:  # the later of two lines counts
            file.write(
                f"listeners={listeners}\nadvertised.listeners={advertised}\nlistener.security.protocol.map={kinds}\n"
                "inter.broker.listener.name=PLAINTEXT\nsasl.enabled.mechanisms=SCRAM-SHA-512\n"
                f"listener.name.password.{login}\nlistener.name.tls.{login}\n"
                "listener.name.tls.ssl.keystore.type=PEM\n"
                f"listener.name.tls.ssl.keystore.location={self.authority.folder / 'broker.pem'}\n"
                "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n"
                f"super.users=User:ANONYMOUS\ngroup.min.session.timeout.ms={low}\ngroup.max.session.timeout.ms={high}\n"
            )

    @cached_property
    def admin(self):
        """An admin client with all rights. It is kept, because its futures end with it."""
        return admin_client(self.bootstrap)

    def add_user(self, name, password=PASSWORD):
        """Create the user, or change the password."""
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        self._await_all(self.admin.alter_user_scram_credentials([UserScramCredentialUpsertion(name, info, password.encode())]))

    def remove_user(self, name):
        """Delete the user."""
        deletion = UserScramCredentialDeletion(name, ScramMechanism.SCRAM_SHA_512)
        self._await_all(self.admin.alter_user_scram_credentials([deletion]))

    def allow(self, user, kind, name, operation):
        """Grant one right."""
        self._await_all(self.admin.create_acls([AclBinding(*self._acl(user, kind, name, operation))]))

    def forbid(self, user, kind, name, operation):
        """Revoke one right."""
        self._await_all(self.admin.delete_acls([AclBindingFilter(*self._acl(user, kind, name, operation))]))

    @staticmethod
    def _acl(user, kind, name, operation):
        return (
            ResourceType[kind],
            name,
            ResourcePatternType.LITERAL,
            f"User:{user}",
            "*",
            AclOperation[operation],
            AclPermissionType.ALLOW,
        )

    @staticmethod
    def _await_all(futures):
        for future in futures.values():
            future.result(60)


class Site:
    """A topic, a group, a user who may use both, and the environment of a worker that uses them."""

    def __init__(self, kafka, server, database, folder):
        name = uuid.uuid4().hex[:8]
        self.kafka, self.server, self.database, self._folder = kafka, server, database, folder
        self.topic, self.group, self.user = f"events-{name}", f"group-{name}", f"user-{name}"
        kafka.create_topic(self.topic, partitions=2)
        self.environment = {
            "PATH": "/usr/bin:/bin",
            "PORTALPULSE_DATA_DIR": str(folder),
            "PORTALPULSE_KAFKA__TOPIC": self.topic,
            "PORTALPULSE_KAFKA__GROUP": self.group,
            "PORTALPULSE_KAFKA__SESSION_TIMEOUT_SECONDS": "7",
            "PORTALPULSE_CLICKHOUSE__URL": server.url(database),
            "PORTALPULSE_WATCHDOG__ASSIGNMENT_SECONDS": "6",
            "PORTALPULSE_WATCHDOG__STALL_SECONDS": "6",
        }
        self.through("plain")
        self._processes = []

    def through(self, listener):
        """Use one of the broker's listeners; returns itself."""
        kafka = self.kafka
        ports = {"proxy": kafka.proxied, "lost": kafka.lost, "nameless": kafka.nameless}
        address = kafka.bootstrap if listener == "plain" else f"{LOOPBACK}:{ports[listener]}" if listener in ports else None
        if address is None:
            kafka.add_user(self.user)
            kafka.allow(self.user, "TOPIC", self.topic, "READ")
            kafka.allow(self.user, "GROUP", self.group, "READ")
            address = f"{LOOPBACK}:{kafka.tls if listener == 'tls' else kafka.sasl}"
            self.environment |= {
                "PORTALPULSE_KAFKA__SECURITY_PROTOCOL": "SASL_SSL" if listener == "tls" else "SASL_PLAINTEXT",
                "PORTALPULSE_KAFKA__USER": self.user,
                "PORTALPULSE_KAFKA__PASSWORD": PASSWORD,
            }
        if listener == "tls":
            self.environment["PORTALPULSE_KAFKA__CA_FILE"] = str(kafka.authority.file)
        self.environment["PORTALPULSE_KAFKA__BOOTSTRAP"] = address
        return self

    def launch(self, command="worker", *arguments, **changes):
        """A started process. It may end before it is ready."""
        environment = self.environment | changes
        made = ObservedProcess(
            command,
            arguments,
            environment=environment,
            log_dir=self._folder,
            name=f"{command}-{len(self._processes)}",
            port=int(environment.get("PORTALPULSE_HTTP__PORT", "0")) or None,
        )
        self._processes.append(made)
        made.launch()
        return made

    def start(self, command="worker", *arguments, **changes):
        """A process that is ready."""
        made = self.launch(command, *arguments, **changes)
        made.await_ready()
        return made

    def worker(self, **changes):
        """A worker that takes part in the group."""
        return self.start(**changes)

    def send(self, count=1):
        """Send ``count`` events."""
        assert send(self.kafka.bootstrap, self.topic, ((None, a_message()) for _ in range(count))).complete

    def await_messages(self, count):
        """Wait until the topic holds ``count`` messages."""
        parts = {TopicPartition(self.topic, number): OffsetSpec.latest() for number in range(2)}

        def held():
            try:
                return sum(asked.result(60).offset for asked in self.kafka.admin.list_offsets(parts).values())
            except KafkaException:  # a new topic has no leader for a moment
                return 0

        wait_until(lambda: held() >= count, timeout=150, what=f"{count} messages")

    def close(self):
        """Kill the processes that still run."""
        for process in self._processes:
            process.kill()


class ObservedProcess(PortalPulseProcess):
    """One of our long-running commands, with what it logged and how it ended."""

    start_seconds = 150.0

    def gauge(self, name):
        """A gauge of the process, without labels."""
        text = httpx.get(f"{self.url}/metrics", timeout=60, trust_env=False).text
        return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))

    def log(self):
        """Its whole log."""
        return self.process.log.read_text()

    def said(self):
        """The message with which it ended: status 2 and exactly one line of portalpulse."""
        sentences = [line for line in self.log().splitlines() if line.startswith("portalpulse: ")]
        assert self.process.exit_code == 2, self.log()
        assert len(sentences) == 1, self.log()
        assert "Traceback" not in self.log() or "worker_started" in self.log()  # a started worker logs tracebacks of Faust
        return sentences[0]

    def await_end(self, *, within=60):
        """Wait until it has ended by itself; returns its message."""
        wait_until(lambda: not self.process.running, timeout=within, what=f"the {self.process.name} to end")
        return self.said()

    def terminate(self, signals=1):
        """Send SIGTERM ``signals`` times; returns the seconds until it has ended."""
        began = time.monotonic()
        for _ in range(signals):
            self.process._signal(15)
            time.sleep(0.2)  # two pending signals of one kind are delivered as one
        wait_until(lambda: not self.process.running, timeout=90, what=f"the {self.process.name} to obey SIGTERM")
        return time.monotonic() - began


@pytest.fixture(scope="session")
def guarded_kafka(parts_dir):
    """The session's Kafka with passwords, TLS and rights."""
    authority = Authority(parts_dir / "authority")
    node = GuardedKafka(authority=authority, data_dir=parts_dir / "guarded-kafka", log_dir=parts_dir / "logs", heap="384m")
    node.start()
    yield node
    node.stop()
    node.proxy.close()


@pytest.fixture(scope="module")
def database(clickhouse_node):
    """One database for the module; each test counts only its own topic."""
    name = f"silence_{uuid.uuid4().hex[:8]}"
    yield name
    clickhouse_node.query(f"DROP DATABASE IF EXISTS {name}")


@pytest.fixture
def site(guarded_kafka, clickhouse_server, database, tmp_path):
    """A fresh topic, group and user."""
    if not guarded_kafka.process.running:
        guarded_kafka.start()
    guarded_kafka.proxy.muted.clear()
    guarded_kafka.proxy.delay = 0.0
    made = Site(guarded_kafka, clickhouse_server, database, tmp_path)
    yield made
    made.close()


@pytest.fixture
def storage_proxy(clickhouse_server):
    """A proxy in front of ClickHouse."""
    proxy = Proxy(free_port(), int(clickhouse_server.http_url.rpartition(":")[2]))
    yield proxy
    proxy.close()
