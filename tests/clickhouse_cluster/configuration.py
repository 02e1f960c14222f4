"""The configuration files of the servers of a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from deploy.native.ports import LOOPBACK

if TYPE_CHECKING:
    from tests.clickhouse_cluster.replica import Replica

#: The cluster's name in ``remote_servers``.
CLUSTER = "portalpulse"

_SERVER = """\
<clickhouse>
  <listen_host>{host}</listen_host><listen_host>{address}</listen_host>
  <http_port>{http_port}</http_port><tcp_port>{tcp_port}</tcp_port>
  <interserver_http_host>{address}</interserver_http_host><interserver_http_port>{http_port}</interserver_http_port>
  <macros><shard>{shard}</shard><replica>{name}</replica></macros>
  <default_replica_path>/clickhouse/tables/{{shard}}/{{database}}/{{table}}</default_replica_path>
  <default_replica_name>{{replica}}</default_replica_name>
  <users_config>{users}</users_config>
  <remote_servers><{cluster}>{shards}</{cluster}></remote_servers>
  <zookeeper>
    <node><host>{host}</host><port>{coordination_port}</port></node>
    <!-- All these servers have the same empty id; with one path the session of each would end those of the others. -->
    <sessions_path>/clickhouse/sessions/{name}</sessions_path>
    <session_timeout_ms>4000</session_timeout_ms><operation_timeout_ms>10000</operation_timeout_ms>
  </zookeeper>
  <max_server_memory_usage>1500000000</max_server_memory_usage>
  <background_pool_size>2</background_pool_size><background_fetches_pool_size>4</background_fetches_pool_size>
  <background_schedule_pool_size>32</background_schedule_pool_size>
  <merge_tree>
    <number_of_free_entries_in_pool_to_lower_max_size_of_merge>2</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
    <number_of_free_entries_in_pool_to_execute_mutation>2</number_of_free_entries_in_pool_to_execute_mutation>
    <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>2</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
  </merge_tree>
</clickhouse>
"""

_USERS = """\
<clickhouse>
  <profiles><default>{profile}</default></profiles>
  <quotas><default/></quotas>
  <users><default>
    <password></password><networks><ip>127.0.0.0/8</ip></networks><profile>default</profile><quota>default</quota>
  </default></users>
</clickhouse>
"""


def write(
    replica: Replica,
    shards: Sequence[Sequence[Replica]],
    *,
    coordination_port: int,
    profile: Mapping[str, object],
    default_database: str,
) -> None:
    """Write config.xml and users.xml of a server into its folder.

    Args:
        replica: the server.
        shards: the replicas of all shards, the server's own included.
        coordination_port: of ZooKeeper.
        profile: settings of every session of the user ``default``, who has no password.
        default_database: where a shard looks for names without a database in statements that another server sends to it.
    """
    users = replica.folder / "users.xml"
    settings = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in profile.items())
    users.write_text(_USERS.format(profile=settings), encoding="utf-8")
    (replica.folder / "config.xml").write_text(
        _SERVER.format(
            host=LOOPBACK,
            address=replica.address,
            http_port=replica.http_port,
            tcp_port=replica.tcp_port,
            shard=replica.shard + 1,
            name=replica.name,
            users=escape(str(users)),
            cluster=CLUSTER,
            shards="".join(_shard(shard, default_database) for shard in shards),
            coordination_port=coordination_port,
        ),
        encoding="utf-8",
    )


def _shard(replicas: Sequence[Replica], default_database: str) -> str:
    # Clients' address and TCP port: another address of the loopback network would count as a remote server.
    servers = "".join(
        f"<replica><host>{LOOPBACK}</host><port>{each.tcp_port}</port>"
        f"<default_database>{default_database}</default_database></replica>"
        for each in replicas
    )
    return f"<shard><internal_replication>true</internal_replication>{servers}</shard>"
