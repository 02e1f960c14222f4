"""Renders deploy/kubernetes with the real kubectl, and gives the tests what the objects hold. No cluster is needed."""

from __future__ import annotations

import functools
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft7Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from deploy.native.programs import CACHE

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "deploy" / "kubernetes"
#: What people apply.
OVERLAYS = ("overlays/small", "overlays/national", "watchdog")
KUBECTL_VERSION = "1.37.1"
SCHEMAS_VERSION = "1.37.0"
#: What the cluster writes into the variables of a pod: a name as a Deployment gives it.
_OF_THE_POD = {"metadata.name": "worker-7d4b9c6f5-x2v8q"}
_KUBECTL = CACHE / "kubectl" / KUBECTL_VERSION / "kubectl"
_SCHEMAS = CACHE / "kubernetes-schemas" / SCHEMAS_VERSION
#: Kinds with a pod template.
WORKLOADS = ("Deployment", "StatefulSet")

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Container:
    """A container of a workload, with what the image and the manifest set."""

    overlay: str
    workload: Manifest
    content: Manifest
    initial: bool

    @property
    def name(self) -> str:
        return self.content["name"]

    @property
    def pod(self) -> Manifest:
        return self.workload["spec"]["template"]["spec"]

    @property
    def is_ours(self) -> bool:
        return "/portalpulse:" in self.content["image"]

    @property
    def label(self) -> str:
        return f"{self.overlay}: {self.workload['kind']} {self.workload['metadata']['name']}, container {self.name}"

    def environment(self) -> dict[str, str]:
        """The variables of the process: of the image, of the maps, of the container."""
        found = dict(image_environment()) if self.is_ours else {}
        maps = {item["metadata"]["name"]: item["data"] for item in objects(self.overlay, "ConfigMap")}
        for source in self.content.get("envFrom", []):
            found |= maps[source["configMapRef"]["name"]]
        for variable in self.content.get("env", []):
            if "value" in variable:
                found[variable["name"]] = variable["value"]
                continue
            if "fieldRef" in variable["valueFrom"]:
                found[variable["name"]] = _OF_THE_POD[variable["valueFrom"]["fieldRef"]["fieldPath"]]
                continue
            reference = variable["valueFrom"]["configMapKeyRef"]
            values = maps[reference["name"]]
            if reference["key"] in values or not reference.get("optional"):
                found[variable["name"]] = values[reference["key"]]
        return found

    def writable(self) -> set[str]:
        """Folders that it may write to."""
        return {mount["mountPath"] for mount in self.content.get("volumeMounts", []) if not mount.get("readOnly")}


@functools.cache
def rendered(overlay: str) -> tuple[Manifest, ...]:
    """The objects of an overlay, as kubectl would apply them."""
    if not _KUBECTL.exists():
        raise AssertionError(f"kubectl is not at {_KUBECTL}: run deploy/setup.sh --tests")
    done = subprocess.run(
        [_KUBECTL, "kustomize", "--load-restrictor", "LoadRestrictionsNone", FOLDER / overlay],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr.lower(), done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def objects(overlay: str, *kinds: str) -> list[Manifest]:
    """The objects of an overlay of these kinds."""
    return [item for item in rendered(overlay) if item["kind"] in kinds]


def one(overlay: str, kind: str, name: str) -> Manifest:
    """One object by name."""
    (found,) = [item for item in objects(overlay, kind) if item["metadata"]["name"] == name]
    return found


def containers(*overlays: str) -> Iterator[Container]:
    """Every container of the overlays; of all without a name."""
    for overlay in overlays or OVERLAYS:
        for workload in objects(overlay, *WORKLOADS):
            pod = workload["spec"]["template"]["spec"]
            for content in pod.get("initContainers", []):
                yield Container(overlay, workload, content, initial=True)
            for content in pod["containers"]:
                yield Container(overlay, workload, content, initial=False)


@functools.cache
def image_environment() -> Mapping[str, str]:
    """The variables that the image of portalpulse sets."""
    text = re.sub(r"\\\n", " ", (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8"))
    last = text.rsplit("\nFROM ", maxsplit=1)[1]
    found = re.findall(r"(PORTALPULSE_\w+)=(\S+)", " ".join(re.findall(r"(?m)^ENV (.*)$", last)))
    assert found
    return dict(found)


@functools.cache
def _registry() -> Registry:
    content = json.loads((_SCHEMAS / "_definitions.json").read_text(encoding="utf-8"))
    return Registry().with_resource("/api/_definitions.json", Resource.from_contents(content, DRAFT7)).crawl()


@functools.cache
def _validator(kind: str, version: str) -> Draft7Validator:
    group, _, number = version.rpartition("/")
    name = "-".join(part for part in (kind.lower(), group.partition(".")[0], number) if part)
    schema = json.loads((_SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    return Draft7Validator(schema, registry=_registry())


def schema_faults(item: Manifest) -> list[str]:
    """What the schema of Kubernetes finds wrong with an object; fields that it does not know are wrong."""
    validator = _validator(item["kind"], item["apiVersion"])
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in validator.iter_errors(item)]
