"""Authentication, and authorization by the stored Roles.

A token is `admin`, or `sa:<namespace>:<name>` for a ServiceAccount. There are no secrets here: the double guards
nothing, it finds out whether a chart grants enough and not too much. Go clients send no token over plain HTTP, so the
server's URL may carry it too: `http://host:port/as/<token>`.
"""

from __future__ import annotations

import json
from urllib.parse import quote, unquote

from .problems import ApiError, Object
from .resources import Resource
from .store import Store

ADMIN = "admin"
_ACCOUNT = "system:serviceaccount:"


def token_of(service_account: str, namespace: str) -> str:
    return f"sa:{namespace}:{service_account}"


def url_as(url: str, token: str) -> str:
    """The server's URL for clients that send no token."""
    return f"{url}/as/{quote(token)}"


def split_path(path: str) -> tuple[str, str]:
    """(the token in a path or "", the path without it)."""
    if not path.startswith("/as/"):
        return "", path
    token, _, rest = path.removeprefix("/as/").partition("/")
    return unquote(token), f"/{rest}"


def user_of(authorization: str | None, token: str) -> str:
    """The user behind an Authorization header, or else behind a URL's token. Raises ApiError (401) for none."""
    token = (authorization or "").removeprefix("Bearer ").strip() or token
    if token == ADMIN:
        return ADMIN
    if token.startswith("sa:") and token.count(":") == 2:
        return _ACCOUNT + token.removeprefix("sa:")
    raise ApiError(401, "Unauthorized", "Unauthorized")


def check(
    store: Store,
    user: str,
    verb: str,
    resource: Resource,
    namespace: str | None,
    name: str | None,
    subresource: str | None,
) -> None:
    """Raise ApiError (403) unless a binding of the user allows the verb."""
    if user == ADMIN:
        return
    whole = f"{resource.plural}/{subresource}" if subresource else resource.plural
    for role in _roles(store, user, namespace):
        if any(_allows(rule, verb, resource.group, whole, name) for rule in role.get("rules") or []):
            return
    where = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
    what = f'User "{user}" cannot {verb} resource "{whole}" in API group "{resource.group}"{where}'
    named = f' "{name}"' if name else ""
    raise ApiError(
        403, "Forbidden", f"{resource.full_name}{named} is forbidden: {what}", **resource.details(name or "")
    )


def _roles(store: Store, user: str, namespace: str | None) -> list[Object]:
    """The rules that are bound to a user, in the cluster and in one namespace."""
    with store.lock:
        bindings = list(store.table("clusterrolebindings").values())
        bindings += [binding for (home, _), binding in store.table("rolebindings").items() if home == namespace]
        found = []
        for binding in bindings:
            reference = binding["roleRef"]
            whole = reference["kind"] == "ClusterRole"
            table = store.table("clusterroles" if whole else "roles")
            role = table.get((None if whole else namespace, reference["name"]))
            if role and any(_is(subject, user, binding) for subject in binding.get("subjects") or []):
                found.append(role)
        return found


def _is(subject: Object, user: str, binding: Object) -> bool:
    if subject["kind"] == "ServiceAccount":
        home = subject.get("namespace", binding["metadata"].get("namespace"))
        return user == f"{_ACCOUNT}{home}:{subject['name']}"
    return bool(subject["kind"] == "User" and subject["name"] == user)


def _allows(rule: Object, verb: str, group: str, whole: str, name: str | None) -> bool:
    return bool(
        {group, "*"} & set(rule.get("apiGroups") or [])
        and {whole, "*"} & set(rule.get("resources") or [])
        and {verb, "*"} & set(rule.get("verbs") or [])
        and (not rule.get("resourceNames") or name in rule["resourceNames"])
    )


def kubeconfig(url: str, token: str, namespace: str = "default") -> str:
    """The text of a kubeconfig for one token."""
    cluster = {"name": "double", "cluster": {"server": url}}
    user = {"name": "double", "user": {"token": token}}
    context = {"name": "double", "context": {"cluster": "double", "user": "double", "namespace": namespace}}
    whole = {"apiVersion": "v1", "kind": "Config", "current-context": "double"}
    return json.dumps({**whole, "clusters": [cluster], "users": [user], "contexts": [context]}, indent=1)
