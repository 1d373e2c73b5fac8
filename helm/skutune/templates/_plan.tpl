{{/* Settings of the stages: `stages.<name>` over `defaults` over files/stages.yaml. */}}

{{/*
JSON: maps each stage's name to its row of the table with resolved settings. It loops instead of using mergeOverwrite, which treats
0 and empty lists as unset.
*/}}
{{- define "skutune.plan" -}}
{{- $root := . -}}
{{- $plan := dict -}}
{{- range $stage := (.Files.Get "files/stages.yaml" | fromYaml).stages -}}
  {{- $own := index $root.Values.stages $stage.name | default dict -}}
  {{- $settings := dict -}}
  {{- range $key, $value := $root.Values.defaults -}}{{- $_ := set $settings $key $value -}}{{- end -}}
  {{- range $key, $value := $own -}}
    {{- if not (kindIs "invalid" $value) -}}{{- $_ := set $settings $key $value -}}{{- end -}}
  {{- end -}}
  {{- $devices := include "skutune.plan.devices" (dict "root" $root "stage" $stage "own" $own) | int -}}
  {{- $_ := set $settings "devices" $devices -}}
  {{- $_ := set $settings "nodes" (get $own "nodes" | default 1 | int) -}}
  {{- $_ := set $settings "shards" (include "skutune.plan.shards" (dict "root" $root "stage" $stage "settings" $settings) | int) -}}
  {{- $_ := set $settings "resources" (include "skutune.plan.resources" (dict "root" $root "stage" $stage "own" $own "devices" $devices) | fromJson) -}}
  {{- range $key := list "nodeSelector" "tolerations" "affinity" -}}
    {{- $_ := set $settings $key (include "skutune.plan.placement" (dict "root" $root "key" $key "own" $own "devices" $devices) | fromJson).value -}}
  {{- end -}}
  {{- $_ := set $plan $stage.name (merge (dict "settings" $settings) $stage) -}}
{{- end -}}
{{- $plan | toJson -}}
{{- end -}}

{{/* Devices per pod: the stage's setting, else its default, capped by the budget. */}}
{{- define "skutune.plan.devices" -}}
{{- $devices := get .own "devices" -}}
{{- if or (kindIs "invalid" $devices) (kindIs "string" $devices) -}}
{{- min (int .stage.devices) (int .root.Values.gpu.devices) -}}
{{- else -}}
{{- int $devices -}}
{{- end -}}
{{- end -}}

{{/* Maximum number of pods: 1 for a fit stage, as many as the devices allow for a map stage. */}}
{{- define "skutune.plan.shards" -}}
{{- if ne .stage.kind "map" -}}
1
{{- else if .settings.shards -}}
{{- int .settings.shards -}}
{{- else if .settings.devices -}}
{{- max 1 (div (int .root.Values.gpu.devices) (int .settings.devices)) -}}
{{- else -}}
{{- int .stage.shards -}}
{{- end -}}
{{- end -}}

{{/*
JSON of requests and limits: the stage's own over `defaults.resources` over the table's, scaled by the devices. The default memory
limit is the request, so that a pod that exceeds it is OOM-killed without affecting other pods on its node.
*/}}
{{- define "skutune.plan.resources" -}}
{{- $resources := .stage.withoutDevices -}}
{{- $scale := 1 -}}
{{- if .devices -}}{{- $resources = .stage.eachDevice -}}{{- $scale = .devices -}}{{- end -}}
{{- $requests := dict "cpu" (mul (int $resources.cpu) $scale | toString) "memory" (printf "%dGi" (mul (int $resources.memory) $scale)) "ephemeral-storage" (printf "%dGi" (int $resources.disk)) -}}
{{- $limits := dict -}}
{{- range $override := list .root.Values.defaults.resources (get .own "resources" | default dict) -}}
  {{- range $key, $value := (get $override "requests" | default dict) -}}{{- $_ := set $requests $key ($value | toString) -}}{{- end -}}
  {{- range $key, $value := (get $override "limits" | default dict) -}}{{- $_ := set $limits $key ($value | toString) -}}{{- end -}}
{{- end -}}
{{- if not (hasKey $limits "memory") -}}{{- $_ := set $limits "memory" $requests.memory -}}{{- end -}}
{{- if .devices -}}
  {{- $_ := set $requests .root.Values.gpu.resource (.devices | toString) -}}
  {{- $_ := set $limits .root.Values.gpu.resource (.devices | toString) -}}
{{- end -}}
{{- dict "requests" $requests "limits" $limits | toJson -}}
{{- end -}}

{{/* JSON of {value}: the stage's own selector, tolerations or affinity; else those of `defaults` and, with devices, of `gpu`. */}}
{{- define "skutune.plan.placement" -}}
{{- $own := get .own .key -}}
{{- $default := index .root.Values.defaults .key -}}
{{- $gpu := ternary (index .root.Values.gpu .key) nil (gt (int .devices) 0) -}}
{{- if not (or (kindIs "invalid" $own) (kindIs "string" $own)) -}}
{{- dict "value" $own | toJson -}}
{{- else if kindIs "slice" $default -}}
{{- dict "value" (concat $default ($gpu | default list)) | toJson -}}
{{- else if eq .key "affinity" -}}
{{- dict "value" ($gpu | default $default) | toJson -}}
{{- else -}}
{{- dict "value" (merge (dict) ($gpu | default dict) $default) | toJson -}}
{{- end -}}
{{- end -}}

{{/* Whole cores of a Kubernetes quantity, at least 1. */}}
{{- define "skutune.cores" -}}
{{- if hasSuffix "m" . -}}
{{- max 1 (div (trimSuffix "m" . | int) 1000) -}}
{{- else -}}
{{- max 1 (int .) -}}
{{- end -}}
{{- end -}}
