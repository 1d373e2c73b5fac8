{{/* Egress rules, each a list item. */}}

{{/* Connections to some ports of some peers. Takes: peers (ports, to), protocols. */}}
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

{{/* The port of a URL: what it says, else its scheme's; 443 where there is none. */}}
{{- define "skutune.port" -}}
{{- $url := urlParse (. | default "https://any") -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $port | default (ternary "80" "443" (eq $url.scheme "http")) -}}
{{- end -}}

{{/* What every pod may reach: DNS, the store, and what gives a workload identity its tokens. */}}
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
