#!/usr/bin/env bash
# Waits until a run succeeds or fails, and exits with its exit code:
#
#   wait-for-run.sh [-n NAMESPACE] [-t SECONDS] [-i SECONDS] [-o SECONDS] [-s CONFIGMAP] JOB
#
#   -n  namespace of the release; default: the current context's
#   -t  timeout; default: 86400, a day
#   -i  polling interval; default: 10
#   -o  maximum outage of the API server; default: 600
#   -s  the release's status ConfigMap; default: derived from the Job's owner or name
#
# JOB is the controller's Job. While it runs, the release's status is printed whenever it changes.
#
# Exit codes: 0 the run succeeded; if it failed, the controller's exit code (10 fix the input or configuration, 20 a stage
# cannot succeed, 75 try again later), or 1 if it is unknown; 143 the Job was deleted; 124 the timeout or the maximum outage
# was exceeded, and the run continues; 2 invalid arguments. Needs bash, kubectl and the permissions in
# k8s/ci-access.yaml.
set -euo pipefail

usage() { sed -n '2,19s/^# \{0,1\}//p' "$0" >&2; exit 2; }
say() { printf '%s\n' "$*" >&2; }

timeout=86400
interval=10
outage=600
config_map=
kubectl=(kubectl)
while getopts n:t:i:o:s: option; do
  case $option in
    n) kubectl+=(--namespace "$OPTARG") ;;
    t) timeout=$OPTARG ;;
    i) interval=$OPTARG ;;
    o) outage=$OPTARG ;;
    s) config_map=$OPTARG ;;
    *) usage ;;
  esac
done
shift $((OPTIND - 1))
{ [ $# -eq 1 ] && [[ "$timeout$outage" =~ ^[0-9]+$ ]] && [[ "$interval" =~ ^[0-9.]+$ ]]; } || usage
job=${1##*/} # `kubectl -o name` prints job.batch/NAME

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

check_timeout() {
  [ "$SECONDS" -lt "$timeout" ] || { say "$job has not ended after $timeout s; the run continues in the cluster"; exit 124; }
}

# get KIND NAME JSONPATH: sets $answer; fails if the object does not exist. Connection and server errors are retried, so that a
# short outage does not fail a wait of hours.
get() {
  local since=$SECONDS reported=
  while ! answer=$("${kubectl[@]}" get "$1" "$2" --output "jsonpath=$3" --request-timeout=30s 2>"$scratch/error"); do
    if grep -q '(NotFound)' "$scratch/error"; then answer=; return 1; fi
    if grep -qE '\((Forbidden|Unauthorized|BadRequest)\)' "$scratch/error"; then cat "$scratch/error" >&2; exit 1; fi
    [ "$reported" = "$(cat "$scratch/error")" ] || { reported=$(cat "$scratch/error"); say "retrying: $reported"; }
    if [ $((SECONDS - since)) -ge "$outage" ]; then say "API server unreachable for $outage s; the run continues"; exit 124; fi
    check_timeout
    sleep "$interval"
  done
}

show_status() {
  get configmap "$config_map" '{.data.summary}' || return 0
  [ "$answer" != "$shown" ] || return 0
  printf '%s\n\n' "$answer"
  shown=$answer
}

# pods FIELDS: one line per controller pod, oldest first; nothing while the API server is unreachable.
pods() {
  "${kubectl[@]}" get pods --selector "batch.kubernetes.io/job-name=$job" --sort-by=.metadata.creationTimestamp \
    --output "jsonpath={range .items[*]}{.metadata.name}$1{\"\n\"}{end}" --request-timeout=30s 2>/dev/null || true
}

# Why the controller does not start: unschedulable, image pull failed, missing Secret. The status is written only later.
show_waiting() {
  local fields='{": "}{.status.conditions[?(@.status=="False")].message}' state='.status.containerStatuses[*].state.waiting'
  local found
  found=$(pods "$fields{\" \"}{$state.reason}{\" \"}{$state.message}" | grep -vE ': +(ContainerCreating *)?$' || true)
  [ -z "$found" ] || [ "$found" = "$waiting" ] || say "waiting: $found"
  waiting=$found
}

# The controller pod that ended last, and its exit code: NAME CODE. A Job may have created several pods.
last_pod() {
  pods '{" "}{.status.containerStatuses[?(@.name=="controller")].state.terminated.exitCode}' |
    grep -E ' [0-9]+$' | tail -n 1 || true
}

# The exit code from the pod; if it is gone, from the status; if that has none, from the Job.
exit_code() {
  local code=${pod##* }
  [ -n "$code" ] || code=$(sed -nE '1s/.*\(exit code ([0-9]+)\)$/\1/p' <<<"$shown")
  [ -n "$code" ] || code=$(sed -nE 's/.*exit code ([0-9]+).*/\1/p' <<<"$reason" | head -n 1)
  # A Job can fail although its pod succeeded, for example when its deadline passes.
  [ "${code:-0}" -ne 0 ] || code=1
  printf '%s' "$code"
}

command -v kubectl >/dev/null || { say "$0 needs kubectl"; exit 2; }
get job "$job" '{.metadata.ownerReferences[0].name}' || { say "job $job not found in this namespace"; exit 1; }
# A CronJob is named <name>; without a schedule, the Job is named <name>-<hash>.
config_map=${config_map:-${answer:-${job%-*}}-status}
get configmap "$config_map" '{.data.summary}' || say "ConfigMap $config_map not found; set the release's status ConfigMap with -s"
# The status belongs to the release. Until this run writes it, it is an earlier run's and is not printed.
earlier=
[[ "$answer" == *"$job"* ]] || earlier=$answer
shown=$earlier
waiting=

while true; do
  conditions='{range .status.conditions[?(@.status=="True")]}{.type}{"\t"}{.reason}{": "}{.message}{"\n"}{end}'
  get job "$job" "$conditions" || { say "$job was deleted: the run was stopped"; exit 143; }
  ended=$(grep -E $'^(Complete|Failed)\t' <<<"$answer" || true)
  show_status
  [ -z "$ended" ] || break
  show_waiting
  check_timeout
  sleep "$interval"
done

[[ "$ended" == Failed* ]] || { say "$job is done"; exit 0; }
[ "$shown" != "$earlier" ] || shown=
reason=${ended#*$'\t'}
pod=$(last_pod)
code=$(exit_code)
say "$job failed with exit code $code: $reason"
if [ -n "$pod" ] && get pod "${pod%% *}" '{.status.containerStatuses[?(@.name=="controller")].state.terminated.message}'; then
  [ -z "$answer" ] || say "termination message:"$'\n'"$answer"
fi
exit "$code"
