#!/bin/sh
# Makes the passwords of deploy/compose.yaml as files in deploy/secrets, once. What is there stays as it is.
#
#   deploy/compose/secrets.sh           the folder is deploy/secrets, which git ignores
#   deploy/compose/secrets.sh FOLDER    another one
#
# The folder is for you alone. The files in it can be read by everybody who reaches them, because containers that do not run as
# root read them under ids of their own.
set -eu

FOLDER=${1:-$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)/secrets}
if [ -e "$FOLDER" ]; then
    echo "secrets.sh: $FOLDER is there and stays as it is. Remove it for new passwords, and restart every container." >&2
    exit 0
fi

umask 077
mkdir -p "$FOLDER.new"

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
hash() { printf '%s' "$1" | sha256sum | cut -d' ' -f1; }

worker=$(random)
exporter=$(random)
grafana=$(random)
printf 'http://portalpulse:%s@clickhouse:8123/portalpulse\n' "$worker" >"$FOLDER.new/worker_url"
printf 'http://exporter:%s@clickhouse:8123/portalpulse\n' "$exporter" >"$FOLDER.new/exporter_url"
printf '%s' "$grafana" >"$FOLDER.new/grafana_clickhouse_password"
random >"$FOLDER.new/grafana_admin_password"
random >"$FOLDER.new/http_token"
random >"$FOLDER.new/delivery_token"
cat >"$FOLDER.new/clickhouse_passwords.xml" <<XML
<clickhouse>
    <users>
        <portalpulse><password_sha256_hex>$(hash "$worker")</password_sha256_hex></portalpulse>
        <exporter><password_sha256_hex>$(hash "$exporter")</password_sha256_hex></exporter>
        <grafana><password_sha256_hex>$(hash "$grafana")</password_sha256_hex></grafana>
    </users>
</clickhouse>
XML
chmod 0444 "$FOLDER.new"/*
mv "$FOLDER.new" "$FOLDER"
echo "secrets.sh: passwords are in $FOLDER. Grafana's administrator is admin, with the password in grafana_admin_password."
