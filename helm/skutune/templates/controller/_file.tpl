{{/*
The input of `skutune controller`: the run's config and the plan of each stage. The config is written as JSON, because helm's YAML
output leaves strings like = or 1_000 unquoted, which Python's YAML parser does not read as strings.
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
