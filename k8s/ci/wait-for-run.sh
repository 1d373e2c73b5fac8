#!/usr/bin/env bash
# Waits for the end of a run, good or bad, and ends as it ended:
#
#   wait-for-run.sh [-n NAMESPACE] [-t SECONDS] [-i SECONDS] [-o SECONDS] [-s CONFIGMAP] JOB
#
#   -n  namespace of the release; default: the current context's
#   -t  longest wait; default: 86400, a day
#   -i  between two looks; default: 10
#   -o  how long the API server may be out of reach; default: 600
#   -s  the release's status ConfigMap; default: worked out from the Job's owner or name
#
# JOB is the controller's Job. What is printed while it works is the release's status, whenever it changed.
#
# Exit codes: 0 the run is done; that of the controller when it failed (10 somebody must change something, 20 a stage cannot
# succeed, 75 try again later; 1 where nobody can tell any more); 143 the Job was deleted; 124 the wait was over first, or the
# API server out of reach for too long, and the run goes on; 2 wrong usage. Needs bash and kubectl, and the rights in
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
job=${1##*/} # kubectl's -o name says job.batch/NAME

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

give_up_in_time() {
  [ "$SECONDS" -lt "$timeout" ] || { say "$job has not ended after $timeout s; the run goes on in the cluster"; exit 124; }
}

# get KIND NAME JSONPATH: the answer comes in $answer; fails where there is no such object. A run of hours must not fail for a
# minute without network, so an API server that cannot be reached, or has troubles of its own, is asked again.
get() {
  local since=$SECONDS told=
  while ! answer=$("${kubectl[@]}" get "$1" "$2" --output "jsonpath=$3" --request-timeout=30s 2>"$scratch/error"); do
    if grep -q '(NotFound)' "$scratch/error"; then answer=; return 1; fi
    if grep -qE '\((Forbidden|Unauthorized|BadRequest)\)' "$scratch/error"; then cat "$scratch/error" >&2; exit 1; fi
    [ "$told" = "$(cat "$scratch/error")" ] || { told=$(cat "$scratch/error"); say "asking again: $told"; }
    if [ $((SECONDS - since)) -ge "$outage" ]; then say "no answer for $outage s; the run goes on"; exit 124; fi
    give_up_in_time
    sleep "$interval"
  done
}

show_status() {
  get configmap "$config_map" '{.data.summary}' || return 0
  [ "$answer" != "$shown" ] || return 0
  printf '%s\n\n' "$answer"
  shown=$answer
}

# pods FIELDS: a line for each of the controller's pods, oldest first; nothing while the API server is out of reach.
pods() {
  "${kubectl[@]}" get pods --selector "batch.kubernetes.io/job-name=$job" --sort-by=.metadata.creationTimestamp \
    --output "jsonpath={range .items[*]}{.metadata.name}$1{\"\n\"}{end}" --request-timeout=30s 2>/dev/null || true
}

# Why the controller does not begin: no node, no image, a missing Secret. Nobody else can tell, for there is no status yet.
show_waiting() {
  local fields='{": "}{.status.conditions[?(@.status=="False")].message}' state='.status.containerStatuses[*].state.waiting'
  local found
  found=$(pods "$fields{\" \"}{$state.reason}{\" \"}{$state.message}" | grep -vE ': +(ContainerCreating *)?$' || true)
  [ -z "$found" ] || [ "$found" = "$waiting" ] || say "waiting: $found"
  waiting=$found
}

# The controller's pod that ended last, and its exit code: NAME CODE. A Job may have begun several.
last_pod() {
  pods '{" "}{.status.containerStatuses[?(@.name=="controller")].state.terminated.exitCode}' |
    grep -E ' [0-9]+$' | tail -n 1 || true
}

# Who knows the exit code: the pod; where it is gone, the status; where nothing was written there, the Job.
exit_code() {
  local code=${pod##* }
  [ -n "$code" ] || code=$(sed -nE '1s/.*\(exit code ([0-9]+)\)$/\1/p' <<<"$shown")
  [ -n "$code" ] || code=$(sed -nE 's/.*exit code ([0-9]+).*/\1/p' <<<"$reason" | head -n 1)
  # A Job also fails while its pod ended well, as when its deadline passes.
  [ "${code:-0}" -ne 0 ] || code=1
  printf '%s' "$code"
}

command -v kubectl >/dev/null || { say "$0 needs kubectl"; exit 2; }
get job "$job" '{.metadata.ownerReferences[0].name}' || { say "there is no job $job in this namespace"; exit 1; }
# A CronJob has the release's name; a release without a schedule calls its Job <name>-<hash>.
config_map=${config_map:-${answer:-${job%-*}}-status}
get configmap "$config_map" '{.data.summary}' || say "there is no ConfigMap $config_map: name the release's status with -s"
# The status belongs to the release: until the run writes its own, it is that of an earlier one and not shown.
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
  give_up_in_time
  sleep "$interval"
done

[[ "$ended" == Failed* ]] || { say "$job is done"; exit 0; }
[ "$shown" != "$earlier" ] || shown=
reason=${ended#*$'\t'}
pod=$(last_pod)
code=$(exit_code)
say "$job failed with exit code $code: $reason"
if [ -n "$pod" ] && get pod "${pod%% *}" '{.status.containerStatuses[?(@.name=="controller")].state.terminated.message}'; then
  [ -z "$answer" ] || say "its last words:"$'\n'"$answer"
fi
exit "$code"
