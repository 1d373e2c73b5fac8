{{/* What the schema cannot say: values that cannot run together. All that is wrong is said at once, in words. */}}

{{- define "skutune.refusals" -}}
{{- $found := concat (include "skutune.refusals.config" . | fromJsonArray) (include "skutune.refusals.plan" . | fromJsonArray) (include "skutune.refusals.access" . | fromJsonArray) (include "skutune.refusals.pods" . | fromJsonArray) -}}
{{- if $found -}}
{{- fail (printf "these values cannot run:\n\n  - %s\n" (join "\n  - " $found)) -}}
{{- end -}}
{{- end -}}

{{/* JSON list: where the data and the models are. */}}
{{- define "skutune.refusals.config" -}}
{{- $found := list -}}
{{- $config := .Values.config -}}
{{- if not (regexMatch "^s3://[A-Za-z0-9._-]{3,}(/|$)" ($config.store | default "./runs")) -}}
  {{- $found = append $found (printf "config.store is %q: pods on several nodes share a store at s3://bucket/prefix; write no endpoint and no key into it" ($config.store | default "./runs")) -}}
{{- end -}}
{{- if not (or (hasPrefix "s3://" $config.catalog.source) (hasPrefix "/" $config.catalog.source)) -}}
  {{- $found = append $found (printf "config.catalog.source is %q: a pod has no such file; put it at s3://bucket/key, or mount a volume (extraVolumes) and give the absolute path" $config.catalog.source) -}}
{{- end -}}
{{- range $role, $model := $config.models -}}
  {{- if and $model (regexMatch "^[.~]" $model.name) -}}
    {{- $found = append $found (printf "config.models.%s.name is %q: a pod has no such folder; give an absolute path in a mounted volume, s3://bucket/prefix or a hub name" $role $model.name) -}}
  {{- end -}}
{{- end -}}
{{- range $role := include "skutune.models.hub" . | fromJsonArray -}}
  {{- $model := index $config.models $role -}}
  {{- if not (regexMatch "^[0-9a-f]{40}$" (get $model "revision" | default "")) -}}
    {{- $found = append $found (printf "config.models.%s: the hub model %q needs its revision, a commit of 40 characters; what a branch names may change between two pods" $role $model.name) -}}
  {{- end -}}
{{- end -}}
{{- $found | toJson -}}
{{- end -}}

{{/* JSON list: devices that the budget cannot hold, and what says two things about when to run. */}}
{{- define "skutune.refusals.plan" -}}
{{- $found := list -}}
{{- $budget := int .Values.gpu.devices -}}
{{- $kueue := .Values.kueue.queueName -}}
{{- range $name, $stage := include "skutune.plan" . | fromJson -}}
  {{- $devices := int $stage.settings.devices -}}
  {{- $nodes := int $stage.settings.nodes -}}
  {{- $shards := int $stage.settings.shards -}}
  {{- if gt $devices $budget -}}
    {{- $found = append $found (printf "stages.%s.devices is %d, but gpu.devices, the budget of the whole run, is %d: raise it or give the pod fewer" $name $devices $budget) -}}
  {{- else if gt (mul $devices $nodes) (int64 $budget) -}}
    {{- $found = append $found (printf "stages.%s: %d nodes with %d devices each are %d, but gpu.devices is %d: raise it, or take fewer nodes or devices" $name $nodes $devices (mul $devices $nodes) $budget) -}}
  {{- else if and $kueue (gt (mul $devices $shards) (int64 $budget)) -}}
    {{- $found = append $found (printf "stages.%s: Kueue admits a Job whole, and %d shards with %d devices each are more than gpu.devices, %d: take fewer shards" $name $shards $devices $budget) -}}
  {{- end -}}
{{- end -}}
{{- with .Values.schedule -}}
  {{- if and .cron (gt (int $.Values.rerun) 0) -}}
    {{- $found = append $found "rerun starts a single run again, and schedule.cron starts new runs by itself: set rerun to 0, and start one by hand with kubectl create job --from=cronjob/…" -}}
  {{- end -}}
  {{- if and .suspend (not .cron) -}}
    {{- $found = append $found "schedule.suspend without schedule.cron: give a time for the CronJob to be rendered; suspended, it starts nothing by itself" -}}
  {{- end -}}
{{- end -}}
{{- $found | toJson -}}
{{- end -}}

{{/* JSON list: images, certificates, the cache. */}}
{{- define "skutune.refusals.access" -}}
{{- $found := list -}}
{{- with .Values.images -}}
  {{- if not .registry -}}
    {{- $found = append $found "images.registry is empty: name the registry that holds the images; `make images REGISTRY=… PUSH=1` builds them and writes these values" -}}
  {{- end -}}
  {{- range $name := list "controller" "generate" "train" -}}
    {{- $image := index $.Values.images $name -}}
    {{- if and (eq $image.tag "latest") (not $image.digest) -}}
      {{- $found = append $found (printf "images.%s.tag is latest, which may be two programs in one run: give a version or a digest" $name) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- range $who, $account := .Values.serviceAccounts -}}
  {{- if not (or $account.create $account.name) -}}
    {{- $found = append $found (printf "serviceAccounts.%s.create is false: name the account that is there" $who) -}}
  {{- end -}}
{{- end -}}
{{- if eq (include "skutune.serviceAccount.controller" .) (include "skutune.serviceAccount.stages" .) -}}
  {{- $found = append $found "serviceAccounts.controller and serviceAccounts.stages are one account: stages would have the controller's rights; name two" -}}
{{- end -}}
{{- with .Values.store.caBundle -}}
  {{- if and .configMap .secret -}}
    {{- $found = append $found "store.caBundle names both a ConfigMap and a Secret: keep one" -}}
  {{- end -}}
{{- end -}}
{{- with .Values.cache -}}
  {{- if and (eq .type "pvc") (not .claim) -}}
    {{- $found = append $found "cache.type is pvc: name the claim in cache.claim" -}}
  {{- else if and (ne .type "pvc") .claim -}}
    {{- $found = append $found (printf "cache.claim is given, but cache.type is %s: set it to pvc" .type) -}}
  {{- end -}}
  {{- if and (eq .type "image") (not .image.reference) -}}
    {{- $found = append $found "cache.type is image: name the image with the models in cache.image.reference" -}}
  {{- else if and (ne .type "image") .image.reference -}}
    {{- $found = append $found (printf "cache.image.reference is given, but cache.type is %s: set it to image" .type) -}}
  {{- end -}}
{{- end -}}
{{- $found | toJson -}}
{{- end -}}

{{/* JSON list: environment variables that the controller and the Job write, and devices among the resources. */}}
{{- define "skutune.refusals.pods" -}}
{{- $found := list -}}
{{- $places := dict "extraEnv" .Values.extraEnv "defaults.extraEnv" .Values.defaults.extraEnv -}}
{{- $resources := dict "defaults" .Values.defaults.resources -}}
{{- range $name, $stage := .Values.stages -}}
  {{- $_ := set $places (printf "stages.%s.extraEnv" $name) (get ($stage | default dict) "extraEnv" | default list) -}}
  {{- $_ := set $resources (printf "stages.%s" $name) (get ($stage | default dict) "resources" | default dict) -}}
{{- end -}}
{{- range $place, $entries := $places -}}
  {{- range $entry := $entries -}}
    {{- if has $entry.name (list "SKUTUNE_TASK" "SKUTUNE_JOB" "JOB_COMPLETION_INDEX") -}}
      {{- $found = append $found (printf "%s sets %s, which tells a pod its work: take it out" $place $entry.name) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- range $place, $said := $resources -}}
  {{- range $kind, $quantities := $said -}}
    {{- if hasKey ($quantities | default dict) $.Values.gpu.resource -}}
      {{- $found = append $found (printf "%s.resources.%s names %s: say it as devices, which the budget counts" $place $kind $.Values.gpu.resource) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $found | toJson -}}
{{- end -}}
