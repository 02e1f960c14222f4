"""Three brokers whose only door for clients is SASL_SSL with SCRAM-SHA-512, and the rights that docs/kafka_access.md grants."""

from __future__ import annotations

import re
import shlex
import shutil
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from deploy.native.ports import LOOPBACK, free_ports
from deploy.native.processes import stop_all, wait_until
from deploy.native.services.kafka import LOGS, KafkaNode, Membership, new_cluster_id
from pipeline.kafka.security import SILENT_LIBRDKAFKA

PAGE = Path(__file__).parents[3] / "docs" / "kafka_access.md"
ADMIN = ("admin", "only-for-tests")
NODES = 3


class PortalNode(KafkaNode):
    """One of the brokers; ``authority`` signs its certificate, with which the controllers know each other, too."""

    def __init__(self, *, authority, **options):
        super().__init__(**options)
        self.authority = authority

    def _configure(self):
        super()._configure()
        member, (user, password) = self._membership, ADMIN
        listeners = f"CLIENTS://{LOOPBACK}:{member.port},CONTROLLER://{LOOPBACK}:{member.controller_port}"
        login = "org.apache.kafka.common.security.scram.ScramLoginModule required"
        with self._properties.open("a") as file:  # the later of two lines counts
            file.write(
                f"listeners={listeners}\nadvertised.listeners=CLIENTS://{LOOPBACK}:{member.port}\n"
                "listener.security.protocol.map=CLIENTS:SASL_SSL,CONTROLLER:SSL\ninter.broker.listener.name=CLIENTS\n"
                "ssl.keystore.type=PEM\nssl.truststore.type=PEM\n"
                f"ssl.keystore.location={self.authority.folder / 'broker.pem'}\nssl.truststore.location={self.authority.file}\n"
                "listener.name.controller.ssl.client.auth=required\n"
                "sasl.enabled.mechanisms=SCRAM-SHA-512\nsasl.mechanism.inter.broker.protocol=SCRAM-SHA-512\n"
                f'listener.name.clients.scram-sha-512.sasl.jaas.config={login} username="{user}" password="{password}";\n'
                "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n"
                f"allow.everyone.if.no.acl.found=false\nsuper.users=User:{user};User:CN=broker\n"
                "connections.max.reauth.ms=3600000\n"
            )

    @property
    def _format_options(self):
        user, password = ADMIN
        return "--add-scram", f"SCRAM-SHA-512=[name={user},password={password}]"

    def formatted(self):
        """Write the settings and format the folder, as a start does."""
        self._configure()
        self._format()
        return self._folder / LOGS

    def launch(self):
        """Start the node; its folder is formatted."""
        self._configure()
        self.process.start()


class PortalBrokers:
    """``bootstrap``: the addresses of all brokers. Users, topics and rights are made by ``admin``, the first user."""

    def __init__(self, *, authority, data_dir, log_dir):
        ports, self.authority = free_ports(2 * NODES), authority
        controllers = {number: ports[NODES + number - 1] for number in range(1, NODES + 1)}
        cluster = new_cluster_id()
        self.nodes = [
            PortalNode(
                authority=authority,
                data_dir=data_dir / f"node-{number}",
                log_dir=log_dir,
                heap="256m",
                membership=Membership(number, ports[number - 1], controllers[number], controllers, cluster),
            )
            for number in controllers
        ]
        self.bootstrap = ",".join(node.bootstrap for node in self.nodes)

    def start(self):
        """Format one folder, copy it to the others, which differ in two numbers, and start all nodes."""
        first = self.nodes[0].formatted()
        for number, node in enumerate(self.nodes[1:], 2):
            shutil.copytree(first, node.topic_folders)
            meta = node.topic_folders / "meta.properties"
            text = re.sub(r"node\.id=\d+", f"node.id={number}", meta.read_text())
            directory = uuid.uuid4().hex[:22]
            meta.write_text(re.sub(r"directory\.id=.*", f"directory.id={directory}", text))
        with ThreadPoolExecutor(NODES) as threads:
            list(threads.map(PortalNode.launch, self.nodes))
        self.admin = AdminClient(self.options(*ADMIN))

        def complete():
            try:
                return len(self.admin.list_topics(timeout=2.0).brokers) == NODES
            except KafkaException:
                return False

        wait_until(complete, timeout=120, what="three brokers", children=[node.process for node in self.nodes])

    def stop(self):
        """Stop all nodes."""
        stop_all([node.process for node in self.nodes], grace=KafkaNode.stop_seconds)

    def options(self, user, password):
        """The options of a librdkafka client."""
        return {
            "bootstrap.servers": self.bootstrap,
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(self.authority.file),
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": password,
            **SILENT_LIBRDKAFKA,
        }

    def add_users(self, passwords):
        """Create users, or change their passwords."""
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        changes = [UserScramCredentialUpsertion(name, info, password.encode()) for name, password in passwords.items()]
        _settle(self.admin.alter_user_scram_credentials(changes))

    def create_topics(self, names, *, partitions=2):
        """Create topics with a copy on each broker, of which two must have a message."""
        config = {"min.insync.replicas": "2"}
        _settle(self.admin.create_topics([NewTopic(name, partitions, NODES, config=config) for name in names]))

        def led():
            known = self.admin.list_topics(timeout=5.0).topics
            return all(name in known and all(part.leader >= 0 for part in known[name].partitions.values()) for name in names)

        wait_until(led, timeout=60, what="leaders of the topics")

    def grant(self, commands):
        """Grant what lines of kafka-acls.sh grant."""
        _settle(self.admin.create_acls([binding_of(line) for line in commands]))

    def granted(self):
        """Every right that there is."""
        everything = AclBindingFilter(
            ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
        )
        return set(self.admin.describe_acls(everything).result(30))


def documented(command):
    """The lines of the page that call a tool of Kafka."""
    return [line.strip() for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith(f"    {command} $AT ")]


def binding_of(line):
    """The right that a line of kafka-acls.sh adds."""
    words = shlex.split(line)
    assert words[1:3] == ["$AT", "--add"]
    if words[-1] == "--cluster":
        words.append("kafka-cluster")  # the name that brokers give it
    given = dict(zip(words[3::2], words[4::2], strict=True))
    (kind,) = {"--topic", "--group", "--cluster"} & given.keys()
    pattern = given.pop("--resource-pattern-type", "literal").upper()
    principal, operation, name = given.pop("--allow-principal"), given.pop("--operation").upper(), given.pop(kind)
    assert not given, f"not understood: {given}"
    return AclBinding(
        ResourceType.BROKER if kind == "--cluster" else ResourceType[kind[2:].upper()],
        name,
        ResourcePatternType[pattern],
        principal,
        "*",
        AclOperation[operation],
        AclPermissionType.ALLOW,
    )


def _settle(futures):
    for future in futures.values():
        future.result(60)
