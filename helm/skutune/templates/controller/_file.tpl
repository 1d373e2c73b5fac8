{{/*
The file that `skutune controller` reads: the run's config, and how each stage is placed. The config is written as JSON, which is
YAML to every reader; helm's own YAML leaves texts like = or 1_000 bare, which Python takes for something else.
*/}}
{{- define "skutune.controller.file" -}}
{{- $root := . -}}
{{- $plan := include "skutune.plan" . | fromJson -}}
release: {{ .Release.Name | quote }}
config:
  {{- toPrettyJson .Values.config | nindent 2 }}
cluster:
  devices: {{ .Values.gpu.devices | int64 }}
  resource: {{ .Values.gpu.resource | quote }}
  status_config_map: {{ include "skutune.fullname" . }}-status
  scheduled: {{ ne .Values.schedule.cron "" }}
  base: {{ .Values.base | default nil | toJson }}
  until: {{ .Values.until | default nil | toJson }}
  kueue: {{ ne .Values.kueue.queueName "" }}
  force_delete: {{ .Values.controller.forceDelete }}
  unreachable_seconds: {{ .Values.controller.unreachableSeconds | int64 }}
  grace_seconds: {{ .Values.controller.graceSeconds | int64 }}
  retry_seconds: {{ .Values.controller.retrySeconds | int64 }}
  stages:
    {{- range $row := (.Files.Get "files/stages.yaml" | fromYaml).stages }}
    {{- $context := dict "root" $root "stage" (index $plan $row.name) }}
    {{- $_ := set $context "text" (include "skutune.stage.podTemplate" $context) }}
    {{- with $context.stage.settings }}
    {{ $row.name }}:
      template: {{ include "skutune.stage.template" $context }}
      devices: {{ .devices | int64 }}
      shards: {{ .shards | int64 }}
      nodes: {{ .nodes | int64 }}
      attempts: {{ .attempts | int64 }}
      retries: {{ .retries | int64 }}
      queued_seconds: {{ .queuedSeconds | int64 }}
      starting_seconds: {{ .startingSeconds | int64 }}
      running_seconds: {{ .runningSeconds | int64 }}
      stalled_seconds: {{ .stalledSeconds | int64 }}
      disruptions: {{ .disruptions | int64 }}
    {{- end }}
    {{- end }}
{{- end -}}
