{{/* Names and labels. */}}

{{/* Base name of a release's objects: at most 52 characters, the limit of a CronJob's name. Truncated names get a hash. */}}
{{- define "skutune.fullname" -}}
{{- $name := printf "%s-skutune" .Release.Name -}}
{{- if contains "skutune" .Release.Name -}}{{- $name = .Release.Name -}}{{- end -}}
{{- if gt (len $name) 52 -}}
{{- printf "%s-%s" ($name | trunc 43 | trimSuffix "-") (sha256sum $name | trunc 8) -}}
{{- else -}}
{{- $name -}}
{{- end -}}
{{- end -}}

{{/* Labels of every object. */}}
{{- define "skutune.labels" -}}
app.kubernetes.io/name: skutune
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Selector labels of a component's pods. Arguments: root, component. */}}
{{- define "skutune.selector" -}}
app.kubernetes.io/name: skutune
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "skutune.serviceAccount.controller" -}}
{{- .Values.serviceAccounts.controller.name | default (printf "%s-controller" (include "skutune.fullname" .)) -}}
{{- end -}}

{{- define "skutune.serviceAccount.stages" -}}
{{- .Values.serviceAccounts.stages.name | default (printf "%s-stages" (include "skutune.fullname" .)) -}}
{{- end -}}

{{/* Reference of a container image. Arguments: root, image. */}}
{{- define "skutune.image" -}}
{{- $image := index .root.Values.images .image -}}
{{- $repository := printf "%s/%s" (trimSuffix "/" .root.Values.images.registry) ($image.repository | default (printf "skutune-%s" .image)) -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository ($image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/*
Name of a stage's PodTemplate, with a hash of its content: helm updates Jobs before PodTemplates, and a controller that starts in
between must not read an outdated template. Arguments: root, stage, text (the rendered pod template).
*/}}
{{- define "skutune.stage.template" -}}
{{- $hash := .text | fromYaml | toJson | sha256sum | trunc 8 -}}
{{- printf "%s-%s-%s" (include "skutune.fullname" .root) .stage.name $hash -}}
{{- end -}}

{{/*
Name of the controller's Job, with a hash of its pod template, its config (which names the stage templates) and `rerun`, so that a
change of any of them starts a new Job. Parsed documents are hashed, because helm versions format the same YAML differently.
*/}}
{{- define "skutune.job" -}}
{{- $pod := include "skutune.controller.podTemplate" . | fromYaml -}}
{{- $file := include "skutune.controller.file" . | fromYaml -}}
{{- $hash := dict "pod" $pod "file" $file "rerun" (int64 .Values.rerun) | toJson | sha256sum | trunc 10 -}}
{{- printf "%s-%s" (include "skutune.fullname" .) $hash -}}
{{- end -}}
