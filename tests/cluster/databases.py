"""The names of the databases."""

from __future__ import annotations

#: The tables of a shard, replicated; a worker writes and reads these.
LOCAL = "portalpulse_local"
#: The same names over all shards; readers use these.
ALL = "portalpulse"
