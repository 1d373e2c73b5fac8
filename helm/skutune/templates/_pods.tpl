{{/* Parts of all pods: access to the store, writable folders, security. */}}

{{/*
JSON list of environment variables with unique names, as server-side apply requires; later entries override earlier ones. Argument:
a list of lists.
*/}}
{{- define "skutune.env.unique" -}}
{{- $names := list -}}
{{- $last := dict -}}
{{- range $list := . -}}
  {{- range $entry := $list -}}
    {{- if not (has $entry.name $names) -}}{{- $names = append $names $entry.name -}}{{- end -}}
    {{- $_ := set $last $entry.name $entry -}}
  {{- end -}}
{{- end -}}
{{- $unique := list -}}
{{- range $name := $names -}}{{- $unique = append $unique (index $last $name) -}}{{- end -}}
{{- $unique | toJson -}}
{{- end -}}

{{/* YAML list: writable folders, and the settings of boto3. */}}
{{- define "skutune.env.common" -}}
{{- $store := .Values.store -}}
- {name: HOME, value: /home/skutune}
- {name: TMPDIR, value: /tmp}
- {name: PYTHONUNBUFFERED, value: "1"}
{{- with $store.endpoint }}
- {name: AWS_ENDPOINT_URL_S3, value: {{ . | quote }}}
{{- end }}
{{- with $store.region | default (ternary "us-east-1" "" (ne $store.endpoint "")) }}
- {name: AWS_REGION, value: {{ . | quote }}}
- {name: AWS_DEFAULT_REGION, value: {{ . | quote }}}
{{- end }}
{{- with $store.encryption.algorithm }}
- {name: SKUTUNE_S3_ENCRYPTION, value: {{ . | quote }}}
{{- end }}
{{- with $store.encryption.kmsKeyId }}
- {name: SKUTUNE_S3_KMS_KEY_ID, value: {{ . | quote }}}
{{- end }}
{{- with $store.requestPayer }}
- {name: SKUTUNE_S3_REQUEST_PAYER, value: {{ . | quote }}}
{{- end }}
{{- with $store.checksumAlgorithm }}
- {name: SKUTUNE_S3_CHECKSUM_ALGORITHM, value: {{ . | quote }}}
{{- end }}
{{- if include "skutune.ca" . }}
- {name: AWS_CA_BUNDLE, value: /etc/skutune-ca/ca.crt}
{{- end }}
{{- with $store.existingSecret }}
- {name: AWS_EC2_METADATA_DISABLED, value: "true"}
- {name: AWS_ACCESS_KEY_ID, valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: {{ $store.secretKeys.accessKeyId | quote }}}}}
- {name: AWS_SECRET_ACCESS_KEY, valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: {{ $store.secretKeys.secretAccessKey | quote }}}}}
{{- with $store.secretKeys.sessionToken }}
- {name: AWS_SESSION_TOKEN, valueFrom: {secretKeyRef: {name: {{ $store.existingSecret | quote }}, key: {{ . | quote }}}}}
{{- end }}
{{- end }}
{{- end -}}

{{/* Non-empty if there is a CA bundle. */}}
{{- define "skutune.ca" -}}
{{- with .Values.store.caBundle -}}{{- .configMap | default .secret -}}{{- end -}}
{{- end -}}

{{/* YAML list: volumes of every pod. */}}
{{- define "skutune.volumes.common" -}}
- {name: home, emptyDir: {}}
- {name: tmp, emptyDir: {}}
{{- with .Values.store.caBundle }}
{{- if .configMap }}
- {name: store-ca, configMap: {name: {{ .configMap | quote }}, items: [{key: {{ .key | quote }}, path: ca.crt}]}}
{{- else if .secret }}
- {name: store-ca, secret: {secretName: {{ .secret | quote }}, items: [{key: {{ .key | quote }}, path: ca.crt}]}}
{{- end }}
{{- end }}
{{- end -}}

{{/* YAML list: volume mounts of every pod. */}}
{{- define "skutune.mounts.common" -}}
- {name: home, mountPath: /home/skutune}
- {name: tmp, mountPath: /tmp}
{{- if include "skutune.ca" . }}
- {name: store-ca, mountPath: /etc/skutune-ca, readOnly: true}
{{- end }}
{{- end -}}

{{/* Annotations that exempt a pod from voluntary disruption by autoscalers. */}}
{{- define "skutune.undisrupted" -}}
karpenter.sh/do-not-disrupt: "true"
cluster-autoscaler.kubernetes.io/safe-to-evict: "false"
{{- end -}}

{{/* Fields of every pod's spec except the ServiceAccount. Arguments: root, priorityClassName. */}}
{{- define "skutune.pod.common" -}}
enableServiceLinks: false
restartPolicy: Never
# The kernel ignores SIGTERM for PID 1 without a handler: a worker that is stopped while it starts would run out its grace
# period and be killed, which counts as a failure. With a shared process namespace, the pause container is PID 1.
shareProcessNamespace: true
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . | quote }}
{{- end }}
{{- end }}
{{- with .priorityClassName | default .root.Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
securityContext:
  {{- toYaml .root.Values.security.podSecurityContext | nindent 2 }}
{{- end -}}

{{/* Fields of every container. Arguments: root, image. */}}
{{- define "skutune.container.common" -}}
image: {{ include "skutune.image" . | quote }}
imagePullPolicy: {{ .root.Values.images.pullPolicy }}
terminationMessagePolicy: FallbackToLogsOnError
securityContext:
  {{- toYaml .root.Values.security.containerSecurityContext | nindent 2 }}
{{- end -}}
