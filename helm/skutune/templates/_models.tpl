{{/* The sources of the models. */}}

{{/* JSON list: roles whose model the stage `models` mirrors from the hub, which are those that are needed and not scripted, local or in S3. */}}
{{- define "skutune.models.hub" -}}
{{- $trains := has .Values.until (list "" "finetune" "evaluate" "report") -}}
{{- $roles := list -}}
{{- range $role, $model := .Values.config.models -}}{{- if $model -}}
  {{- $isPath := regexMatch "^(s3://|/|\\.|~)" $model.name -}}
  {{- if not (or $isPath (eq (get $model "engine") "scripted") (and (has $role (list "base" "judge")) (not $trains))) -}}
    {{- $roles = append $roles $role -}}
  {{- end -}}
{{- end -}}{{- end -}}
{{- $roles | toJson -}}
{{- end -}}
