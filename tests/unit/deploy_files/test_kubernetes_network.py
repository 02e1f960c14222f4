"""The network policies of deploy/kubernetes allow the arrows of the picture in ARCHITECTURE.md, and nothing else."""

from __future__ import annotations

import functools
import ipaddress
import itertools

import pytest

from tests.kubernetes import objects

HERE = "portalpulse"
#: Pods of other namespaces: namespace and labels.
ELSEWHERE = {
    "kafka": ("kafka", {}),
    "clickhouse": ("clickhouse", {}),
    "ingress controller": ("ingress-nginx", {}),
    "DNS": ("kube-system", {"k8s-app": "kube-dns"}),
    "stranger elsewhere": ("default", {"app.kubernetes.io/name": "prometheus"}),
}
#: A host outside of the cluster.
OUTSIDE = ipaddress.ip_address("198.51.100.7")
#: Every port that anything here listens on, and some that nothing should reach.
PORTS = (22, 25, 53, 443, 465, 587, 8080, 8123, 8443, 9000, 9090, 9092, 9093, 9095, 9096, 10250)
#: Who may speak to whom, at which ports, beside DNS. ``ingress controller`` and ``kafka`` themselves are governed elsewhere.
ARROWS = {
    ("worker", "kafka"): {9093},
    ("worker", "clickhouse"): {8443},
    ("exporter", "kafka"): {9093},
    ("exporter", "clickhouse"): {8443},
    ("exporter", "prometheus"): {9090},
    ("exporter", "alertmanager"): {9093},
    ("prometheus", "worker"): {8080},
    ("prometheus", "exporter"): {8080},
    ("prometheus", "alertmanager"): {9093},
    ("alertmanager", "relay"): {9095},
    ("alertmanager", "outside"): {443},
    ("relay", "exporter"): {8080},
    ("relay", "prometheus"): {9090},
    ("relay", "alertmanager"): {9093},
    ("relay", "outside"): {443, 465, 587},
    ("ingress controller", "exporter"): {8080},
}


def pods(overlay: str, namespace: str) -> dict[str, tuple[str, dict[str, str]]]:
    """Namespace and labels of each workload's pods, and of a pod that is not ours but in our namespace."""
    found = {
        item["metadata"]["name"]: (namespace, item["spec"]["template"]["metadata"]["labels"])
        for item in objects(overlay, "Deployment", "StatefulSet")
    }
    return found | {"stranger here": (namespace, {})} | ELSEWHERE


def selects(selector: dict, labels: dict[str, str]) -> bool:
    """Whether a label selector matches; an expression that this does not know is an error."""
    for rule in selector.get("matchExpressions", []):
        assert rule["operator"] == "In", rule
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return selector.get("matchLabels", {}).items() <= labels.items()


def is_peer(peer: dict, who: str, everyone: dict, namespace: str) -> bool:
    """Whether a peer of a rule is ``who``. A block of addresses holds hosts outside only: pods are named by labels."""
    if "ipBlock" in peer:
        return who == "outside" and OUTSIDE in ipaddress.ip_network(peer["ipBlock"]["cidr"])
    if who == "outside":
        return False
    space, labels = everyone[who]
    if "namespaceSelector" in peer:
        if not selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": space}):
            return False
    elif space != namespace:
        return False
    return selects(peer.get("podSelector", {}), labels)


def allows(direction: str, owner: str, other: str, port: int, *, policies: list, everyone: dict, namespace: str) -> bool:
    """Whether the policies let ``owner`` send to (egress) or be reached by (ingress) ``other``, as Kubernetes judges them."""
    if owner == "outside" or everyone[owner][0] != namespace:
        return True  # governed elsewhere
    governing = [
        policy["spec"]
        for policy in policies
        if direction in policy["spec"]["policyTypes"] and selects(policy["spec"]["podSelector"], everyone[owner][1])
    ]
    if not governing:
        return True
    key, side = ("egress", "to") if direction == "Egress" else ("ingress", "from")
    return any(
        any(is_peer(peer, other, everyone, namespace) for peer in rule[side])
        and any(found["port"] == port and found["protocol"] == "TCP" for found in rule["ports"])
        for spec in governing
        for rule in spec.get(key, [])
    )


def reached(overlay: str, namespace: str) -> dict[tuple[str, str], set[int]]:
    """Every pair with a pod of the overlay that may speak, with the ports."""
    everyone, policies = pods(overlay, namespace), objects(overlay, "NetworkPolicy")
    for policy in policies:  # a rule without peers or ports would be open to all
        for rule in [*policy["spec"].get("ingress", []), *policy["spec"].get("egress", [])]:
            assert rule.get("ports"), policy["metadata"]["name"]
            assert rule.get("to") or rule.get("from"), policy["metadata"]["name"]
    judged = functools.partial(allows, policies=policies, everyone=everyone, namespace=namespace)
    found: dict[tuple[str, str], set[int]] = {}
    ours = {name for name, (space, _) in everyone.items() if space == namespace}
    for source, target, port in itertools.product([*everyone, "outside"], [*everyone, "outside"], PORTS):
        if source == target or not {source, target} & ours:
            continue
        leaves, arrives = judged("Egress", source, target, port), judged("Ingress", target, source, port)
        if {source, target} <= ours:  # a side that opens more would be open to the next pod that may leave
            assert leaves == arrives, (source, target, port)
        if leaves and arrives:
            found.setdefault((source, target), set()).add(port)
    return found


@pytest.mark.parametrize("overlay", ["overlays/small", "overlays/national"])
def test_exactly_the_arrows_of_the_picture_are_open(overlay):
    """Of all pairs of pods, engines, hosts outside and strangers, those that must speak may, at their port alone."""
    found = reached(overlay, HERE)
    names = {pair: ports for pair, ports in found.items() if pair[1] == "DNS"}
    assert {source for source, _ in names} == {"worker", "exporter", "prometheus", "alertmanager", "relay", "stranger here"}
    assert all(ports == {53} for ports in names.values())
    assert {pair: ports for pair, ports in found.items() if pair[1] != "DNS"} == ARROWS


def test_the_watchdog_hears_through_its_ingress_and_speaks_to_people():
    """The watchdog, which has no password, is reached by the ingress controller alone."""
    found = reached("watchdog", "portalpulse-watchdog")
    assert {pair: ports for pair, ports in found.items() if "watchdog" in pair} == {
        ("ingress controller", "watchdog"): {9096},
        ("watchdog", "DNS"): {53},
        ("watchdog", "outside"): {443, 465, 587},
    }
