"""A pod's volumes as folders of this machine, and the rewriting of mount paths to them.

A process sees the machine's own file system, so every mount path that stands in a container's command, arguments or
environment is rewritten to the folder of its volume. A path inside a mounted file is not. Containers that must see a
real folder of the machine under its own name mount it by `hostPath`, or by a claim (a folder that all pods share).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from . import images
from .images import Image
from .pod_environment import NotReadyError, data_of, field_of, resource_of
from .problems import Object
from .store import Store

_STEP = r"(?![\w.-])"


class PodFiles:
    """The folders of one pod. `claims` is where PersistentVolumeClaims lie, `images` what image volumes can show."""

    def __init__(self, store: Store, pod: Object, folder: Path, claims: Path, images: Mapping[str, Image] | None):
        self.store, self.pod, self.folder, self.claims, self.images = store, pod, folder, claims, images
        self.folders: dict[str, Path] = {}

    def prepare(self) -> None:
        """Make all volumes. Raises NotReadyError where a ConfigMap or Secret is missing."""
        for volume in self.pod["spec"].get("volumes") or []:
            try:
                self.folders[volume["name"]] = self._folder(volume)
            except NotReadyError as missing:
                if missing.reason == "ErrImagePull":
                    raise
                told = f'MountVolume.SetUp failed for volume "{volume["name"]}" : {missing.message}'
                raise NotReadyError("ContainerCreating", told, event="FailedMount") from missing

    def _folder(self, volume: Object) -> Path:
        namespace = self.pod["metadata"]["namespace"]
        if "hostPath" in volume:
            return Path(str(volume["hostPath"]["path"]))
        if (root := self._image_root(volume)) is not None:
            return root
        folder: Path
        if "persistentVolumeClaim" in volume:
            folder = self.claims / namespace / str(volume["persistentVolumeClaim"]["claimName"])
        else:
            folder = self.folder / "volumes" / str(volume["name"])
        folder.mkdir(parents=True, exist_ok=True)
        sources = (volume.get("projected") or {}).get("sources") or [volume]
        for source in sources:
            for path, data in self._contents(source, namespace).items():
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
        return folder

    def _image_root(self, volume: Object) -> Path | None:
        if "image" not in volume:
            return None
        reference = volume["image"]["reference"]
        image = images.find(self.images, reference)
        if image is None:
            raise NotReadyError("ErrImagePull", images.not_found(reference))
        return Path(image.root) if image.root else None

    def _contents(self, source: Object, namespace: str) -> dict[str, bytes]:
        """The files of one source by their path."""
        for field, kind, name_field in (("configMap", "configmaps", "name"), ("secret", "secrets", "secretName")):
            if field in source:
                given = source[field]
                name = given.get(name_field) or given["name"]  # a projected secret says `name`
                data = data_of(self.store, kind, namespace, name, bool(given.get("optional")))
                return _picked(data, given, name)
        if "downwardAPI" in source:
            return {item["path"]: self._downward(item).encode() for item in source["downwardAPI"].get("items") or []}
        return {}  # emptyDir, image, serviceAccountToken: nothing to write here

    def _downward(self, item: Object) -> str:
        if "fieldRef" in item:
            return field_of(self.pod, item["fieldRef"]["fieldPath"])
        return resource_of(self.pod, {}, item["resourceFieldRef"])

    def termination_log(self, container: Object) -> Path:
        return self.folder / f"{container['name']}.termination"

    def rewriter(self, container: Object) -> Callable[[str], str]:
        """A function that puts host folders where mount paths stand, and this machine where a peer's host name does."""
        paths = {container["terminationMessagePath"]: str(self.termination_log(container))}
        for mount in container.get("volumeMounts") or []:
            folder = self.folders[mount["name"]] / mount.get("subPath", "")
            paths[mount["mountPath"].rstrip("/")] = str(folder)
        longest_first = sorted(filter(None, paths), key=len, reverse=True)
        mounted = re.compile(r"(?<![\w.-])(?:" + "|".join(re.escape(path) for path in longest_first) + ")" + _STEP)
        peer = self._peers()

        def rewrite(text: str) -> str:
            text = mounted.sub(lambda found: paths[found[0]], text)
            return peer.sub("127.0.0.1", text) if peer else text

        return rewrite

    def _peers(self) -> re.Pattern[str] | None:
        """`<job>-<i>.<subdomain>`: the name of another pod of the same Indexed Job."""
        subdomain, namespace = self.pod["spec"].get("subdomain"), self.pod["metadata"]["namespace"]
        if not subdomain:
            return None
        ending = rf"(?:\.{re.escape(namespace)}(?:\.svc(?:\.[\w.-]+)?)?)?"
        return re.compile(rf"\b[a-z0-9][a-z0-9-]*-\d+\.{re.escape(subdomain)}{ending}{_STEP}")


def _picked(data: dict[str, bytes], given: Object, name: str) -> dict[str, bytes]:
    if not given.get("items"):
        return data
    missing = [item["key"] for item in given["items"] if item["key"] not in data]
    if missing and not given.get("optional"):
        raise NotReadyError("ContainerCreating", f"references non-existent config key: {missing[0]} of {name}")
    return {item["path"]: data[item["key"]] for item in given["items"] if item["key"] in data}
