{{/* Egress rules, as list items. */}}

{{/* Egress to ports of peers. Arguments: peers (ports, to), protocols. */}}
{{- define "skutune.egress" -}}
- ports:
  {{- range $port := .peers.ports }}
  {{- range $protocol := $.protocols | default (list "TCP") }}
    - {protocol: {{ $protocol }}, port: {{ $port | int64 }}}
  {{- end }}
  {{- end }}
  {{- with .peers.to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* The port of a URL, by default that of its scheme; 443 for an empty URL. */}}
{{- define "skutune.port" -}}
{{- $url := urlParse (. | default "https://any") -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $port | default (ternary "80" "443" (eq $url.scheme "http")) -}}
{{- end -}}

{{/* Egress of every pod: DNS, the store, and the token endpoints of workload identity. */}}
{{- define "skutune.egress.common" -}}
{{- $policy := .Values.networkPolicy -}}
{{ include "skutune.egress" (dict "peers" $policy.dns "protocols" (list "UDP" "TCP")) }}
{{ include "skutune.egress" (dict "peers" (dict "ports" ($policy.store.ports | default (list (include "skutune.port" .Values.store.endpoint))) "to" $policy.store.to)) }}
{{- if not .Values.store.existingSecret }}
{{ include "skutune.egress" (dict "peers" $policy.identity) }}
{{- end }}
{{- with $policy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end -}}
