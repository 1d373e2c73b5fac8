{{/* Where the models come from. */}}

{{/* JSON list: roles whose model the stage `models` mirrors from a hub: neither scripted, nor a folder, nor in S3, and needed. */}}
{{- define "skutune.models.hub" -}}
{{- $trains := has .Values.until (list "" "finetune" "evaluate" "report") -}}
{{- $roles := list -}}
{{- range $role, $model := .Values.config.models -}}{{- if $model -}}
  {{- $elsewhere := regexMatch "^(s3://|/|\\.|~)" $model.name -}}
  {{- if not (or $elsewhere (eq (get $model "engine") "scripted") (and (has $role (list "base" "judge")) (not $trains))) -}}
    {{- $roles = append $roles $role -}}
  {{- end -}}
{{- end -}}{{- end -}}
{{- $roles | toJson -}}
{{- end -}}
