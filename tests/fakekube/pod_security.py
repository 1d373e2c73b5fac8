"""The Pod Security Standards: the rules of `baseline` and `restricted` that a training pod can break."""

from __future__ import annotations

from collections.abc import Callable

from .problems import Object

_RESTRICTED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def violations(spec: Object, level: str) -> list[str]:
    """What of a pod's spec breaks the level, in the real admission's words; empty where it may pass."""
    if level not in ("baseline", "restricted"):
        return []
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    rules = [_host_namespaces, _privileged, _host_path]
    if level == "restricted":
        rules += [_escalation, _capabilities, _volume_types, _non_root, _root_user, _seccomp]
    return [told for rule in rules if (told := rule(spec, containers))]


def _security(container: Object) -> Object:
    return container.get("securityContext") or {}


def _named(containers: list[Object], breaks: Callable[[Object], bool]) -> str:
    names = [f'"{container["name"]}"' for container in containers if breaks(container)]
    return f"container{'s' if len(names) > 1 else ''} {', '.join(names)}" if names else ""


def _host_namespaces(spec: Object, containers: list[Object]) -> str:
    used = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    return f"host namespaces ({', '.join(used)})" if used else ""


def _privileged(spec: Object, containers: list[Object]) -> str:
    who = _named(containers, lambda c: bool(_security(c).get("privileged")))
    return f"privileged ({who} must not set securityContext.privileged=true)" if who else ""


def _host_path(spec: Object, containers: list[Object]) -> str:
    names = [f'"{volume["name"]}"' for volume in spec.get("volumes") or [] if "hostPath" in volume]
    return f"hostPath volumes (volume{'s' if len(names) > 1 else ''} {', '.join(names)})" if names else ""


def _escalation(spec: Object, containers: list[Object]) -> str:
    who = _named(containers, lambda c: _security(c).get("allowPrivilegeEscalation") is not False)
    told = "must set securityContext.allowPrivilegeEscalation=false"
    return f"allowPrivilegeEscalation != false ({who} {told})" if who else ""


def _capabilities(spec: Object, containers: list[Object]) -> str:
    who = _named(containers, lambda c: "ALL" not in ((_security(c).get("capabilities") or {}).get("drop") or []))
    return f'unrestricted capabilities ({who} must set securityContext.capabilities.drop=["ALL"])' if who else ""


def _volume_types(spec: Object, containers: list[Object]) -> str:
    wrong = []
    for volume in spec.get("volumes") or []:
        kinds = [key for key in volume if key != "name" and key not in _RESTRICTED_VOLUMES]
        wrong += [f'volume "{volume["name"]}" uses restricted volume type "{kind}"' for kind in kinds]
    return f"restricted volume types ({', '.join(wrong)})" if wrong else ""


def _setting(spec: Object, container: Object, field: str) -> object:
    own = _security(container).get(field)
    return own if own is not None else (spec.get("securityContext") or {}).get(field)


def _non_root(spec: Object, containers: list[Object]) -> str:
    who = _named(containers, lambda c: _setting(spec, c, "runAsNonRoot") is not True)
    return f"runAsNonRoot != true (pod or {who} must set securityContext.runAsNonRoot=true)" if who else ""


def _root_user(spec: Object, containers: list[Object]) -> str:
    who = _named(containers, lambda c: _setting(spec, c, "runAsUser") == 0)
    return f"runAsUser=0 (pod or {who} must not set runAsUser=0)" if who else ""


def _seccomp(spec: Object, containers: list[Object]) -> str:
    def breaks(container: Object) -> bool:
        profile = _setting(spec, container, "seccompProfile")
        return not isinstance(profile, dict) or profile.get("type") not in ("RuntimeDefault", "Localhost")

    who = _named(containers, breaks)
    told = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return f"seccompProfile (pod or {who} {told})" if who else ""
