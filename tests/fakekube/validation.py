"""Validation errors (422): names, labels, immutable fields, and the rules of each kind.

The rules are those that a chart or a controller can break; messages follow the real server's words.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .crontab import Schedule
from .pod_rules import Causes, check_name, check_pod_spec, check_port, check_template
from .problems import Object, invalid
from .resources import Resource

SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_NAME_WORDS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character"
)
_LABEL_WORDS = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character"
)
_MAX_OBJECT_BYTES = 1048576


def check(resource: Resource, new: Object, old: Object | None = None) -> None:
    """Raise ApiError (422) with every rule that `new` breaks; `old` is what it replaces."""
    causes = Causes()
    _check_metadata(resource, new["metadata"], causes)
    if rule := _RULES.get(resource.plural):
        rule(new, old, causes)
    if causes.found:
        raise invalid(resource.kind, resource.group, new["metadata"].get("name", ""), causes.found)


def _check_metadata(resource: Resource, metadata: Object, causes: Causes) -> None:
    name = metadata.get("name", "")
    free = resource.group == "rbac.authorization.k8s.io"  # names of roles may hold colons
    if not free and (not SUBDOMAIN.fullmatch(name) or len(name) > 253):
        causes.invalid("metadata.name", name, _NAME_WORDS)
    check_labels(metadata, "metadata", causes)
    owners = metadata.get("ownerReferences") or []
    for owner in owners:
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                causes.invalid(f"metadata.ownerReferences.{field}", owner.get(field, ""), "must not be empty")
    if sum(bool(owner.get("controller")) for owner in owners) > 1:
        causes.invalid("metadata.ownerReferences", "", "Only one reference can have Controller set to true")


def check_labels(metadata: Object, at: str, causes: Causes) -> None:
    """Label keys and values, also of templates."""
    for key, value in (metadata.get("labels") or {}).items():
        if not _LABEL_KEY.fullmatch(key):
            causes.invalid(f"{at}.labels", key, "name part must consist of alphanumeric characters, '-', '_' or '.'")
        if not isinstance(value, str) or len(value) > 63:
            causes.invalid(f"{at}.labels", value, "must be no more than 63 characters")
        elif not _LABEL_VALUE.fullmatch(value):
            causes.invalid(f"{at}.labels", value, _LABEL_WORDS)


def _job(job: Object, old: Object | None, causes: Causes) -> None:
    spec, name = job.get("spec") or {}, job["metadata"].get("name", "")
    if len(name) > 63:
        causes.invalid("spec.template.labels", name, "must be no more than 63 characters")
    check_job_spec(spec, "spec", causes)
    completions = spec.get("completions") or 0
    if spec.get("completionMode") == "Indexed" and completions > 0:
        hostname = f"{name}-{completions - 1}"
        if len(hostname) > 63:
            causes.invalid("metadata.name", hostname, "must be no more than 63 characters")
    if old:
        _check_job_update(spec, old, causes)


def check_job_spec(spec: Object, at: str, causes: Causes) -> None:
    """A Job's spec, also inside a CronJob."""
    template = spec.get("template") or {}
    check_template(template, f"{at}.template", causes, restart=("OnFailure", "Never"))
    check_labels(template.get("metadata") or {}, f"{at}.template", causes)
    indexed, policy = spec.get("completionMode") == "Indexed", (template.get("spec") or {}).get("restartPolicy")
    if indexed and spec.get("completions") is None:
        causes.required(f"{at}.completions", "when completion mode is Indexed")
    if spec.get("podFailurePolicy"):
        if policy != "Never":
            causes.invalid(
                f"{at}.template.spec.restartPolicy",
                policy,
                'only "Never" is supported when podFailurePolicy is specified',
            )
        if spec.get("podReplacementPolicy") not in (None, "Failed"):
            causes.unsupported(f"{at}.podReplacementPolicy", spec["podReplacementPolicy"], ("Failed",))
        _check_failure_rules(spec, f"{at}.podFailurePolicy", causes)
    if spec.get("backoffLimitPerIndex") is not None and not indexed:
        causes.invalid(f"{at}.backoffLimitPerIndex", spec["backoffLimitPerIndex"], "requires indexed completion mode")
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        causes.required(f"{at}.backoffLimitPerIndex", "when maxFailedIndexes is specified")


def _check_failure_rules(spec: Object, at: str, causes: Causes) -> None:
    containers = {c.get("name") for c in ((spec.get("template") or {}).get("spec") or {}).get("containers") or []}
    for number, rule in enumerate(spec["podFailurePolicy"].get("rules") or []):
        codes, field = rule.get("onExitCodes"), f"{at}.rules[{number}]"
        if bool(codes) == bool(rule.get("onPodConditions")):
            causes.invalid(field, field, "specifying one of OnExitCodes and OnPodConditions is required")
        if rule.get("action") == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            causes.invalid(f"{field}.action", "FailIndex", "requires the backoffLimitPerIndex to be set")
        if codes and codes.get("containerName") and codes["containerName"] not in containers:
            causes.invalid(
                f"{field}.onExitCodes.containerName",
                codes["containerName"],
                "must be one of the container or initContainer names in the pod template",
            )
        if codes and codes.get("values") != sorted(set(codes.get("values") or [])):
            causes.invalid(f"{field}.onExitCodes.values", codes.get("values"), "must be ordered")


def _check_job_update(spec: Object, old: Object, causes: Causes) -> None:
    before = old["spec"]
    frozen = ["completionMode", "selector", "podFailurePolicy", "backoffLimitPerIndex", "successPolicy", "managedBy"]
    if not (before.get("suspend") and not (old.get("status") or {}).get("startTime")):
        frozen.append("template")
    elastic = spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism")
    if spec.get("completions") != before.get("completions") and not elastic:
        frozen.append("completions")
    for field in frozen:
        if spec.get(field) != before.get(field):
            causes.invalid(f"spec.{field}", spec.get(field), "field is immutable")


def _cron_job(cron: Object, old: Object | None, causes: Causes) -> None:
    spec, name = cron.get("spec") or {}, cron["metadata"].get("name", "")
    if old is None and len(name) > 52:
        causes.invalid("metadata.name", name, "must be no more than 52 characters")
    if not spec.get("schedule"):
        causes.required("spec.schedule", "")
    else:
        try:
            Schedule(spec["schedule"])
        except ValueError as error:
            causes.invalid("spec.schedule", spec["schedule"], str(error))
    if spec.get("concurrencyPolicy") not in ("Allow", "Forbid", "Replace"):
        causes.unsupported("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), ("Allow", "Forbid", "Replace"))
    check_job_spec((spec.get("jobTemplate") or {}).get("spec") or {}, "spec.jobTemplate.spec", causes)


def _pod(pod: Object, old: Object | None, causes: Causes) -> None:
    spec = pod.get("spec") or {}
    if old is None:
        check_pod_spec(spec, "spec", causes)
    elif _fixed_part(spec) != _fixed_part(old["spec"]):
        causes.add(
            "FieldValueForbidden",
            "spec",
            "Forbidden: pod updates may not change fields other than `spec.containers[*].image`, "
            "`spec.initContainers[*].image`, `spec.activeDeadlineSeconds`, `spec.tolerations`",
        )


def _fixed_part(spec: Object) -> Object:
    free = ("activeDeadlineSeconds", "tolerations", "nodeName", "terminationGracePeriodSeconds", "schedulingGates")
    containers = [{**container, "image": ""} for container in spec.get("containers") or []]
    return {key: value for key, value in spec.items() if key not in free} | {"containers": containers}


def _pod_template(found: Object, old: Object | None, causes: Causes) -> None:
    template = found.get("template") or {}
    check_template(template, "template", causes)
    check_labels(template.get("metadata") or {}, "template", causes)


def _service(service: Object, old: Object | None, causes: Causes) -> None:
    check_name(service["metadata"].get("name"), "metadata.name", causes)
    for number, port in enumerate((service.get("spec") or {}).get("ports") or []):
        check_port(port, "port", f"spec.ports[{number}]", causes)


def _binding(binding: Object, old: Object | None, causes: Causes) -> None:
    if old and binding.get("roleRef") != old.get("roleRef"):
        causes.invalid("roleRef", binding.get("roleRef"), "cannot change roleRef")


def _claim(claim: Object, old: Object | None, causes: Causes) -> None:
    if old and claim.get("spec") != old.get("spec"):
        told = "Forbidden: spec is immutable after creation except resources.requests for bound claims"
        causes.add("FieldValueForbidden", "spec", told)


def _secret(secret: Object, old: Object | None, causes: Causes) -> None:
    _data(secret, old, causes)
    if old and secret.get("type") != old.get("type"):
        causes.invalid("type", secret.get("type"), "field is immutable")


def _data(found: Object, old: Object | None, causes: Causes) -> None:
    size = sum(
        len(key) + len(str(value)) for part in ("data", "binaryData") for key, value in (found.get(part) or {}).items()
    )
    if size > _MAX_OBJECT_BYTES:
        causes.add("FieldValueTooLong", "data", f"Too long: may not be more than {_MAX_OBJECT_BYTES} bytes")
    if old and old.get("immutable") and any(found.get(part) != old.get(part) for part in ("data", "binaryData")):
        causes.add("FieldValueForbidden", "data", "Forbidden: field is immutable when `immutable` is set")


_RULES: dict[str, Callable[[Object, Object | None, Causes], None]] = {
    "jobs": _job,
    "cronjobs": _cron_job,
    "pods": _pod,
    "podtemplates": _pod_template,
    "configmaps": _data,
    "secrets": _secret,
    "services": _service,
    "rolebindings": _binding,
    "persistentvolumeclaims": _claim,
}
