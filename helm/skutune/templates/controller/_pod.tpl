{{/* The controller's pod. */}}

{{/* YAML list: the controller's identity, from its pod's labels. Its Job owns all objects that it creates. */}}
{{- define "skutune.controller.env" -}}
- {name: SKUTUNE_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
- {name: SKUTUNE_POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: SKUTUNE_JOB_NAME, valueFrom: {fieldRef: {fieldPath: "metadata.labels['batch.kubernetes.io/job-name']"}}}
- {name: SKUTUNE_JOB_UID, valueFrom: {fieldRef: {fieldPath: "metadata.labels['batch.kubernetes.io/controller-uid']"}}}
# One malloc arena is enough for its few threads and saves memory.
- {name: MALLOC_ARENA_MAX, value: "1"}
{{- end -}}

{{- define "skutune.controller.podTemplate" -}}
{{- $controller := .Values.controller -}}
metadata:
  labels:
    {{- merge (dict) (include "skutune.selector" (dict "root" . "component" "controller") | fromYaml) .Values.podLabels | toYaml | nindent 4 }}
  annotations:
    {{- $scrape := dict "prometheus.io/scrape" "true" "prometheus.io/port" "9090" "prometheus.io/path" "/metrics" }}
    {{- $undisrupted := include "skutune.undisrupted" . | fromYaml }}
    {{- merge (dict) .Values.podAnnotations (ternary $scrape (dict) $controller.metricsAnnotations) $undisrupted | toYaml | nindent 4 }}
spec:
  {{- include "skutune.pod.common" (dict "root" . "priorityClassName" "") | nindent 2 }}
  serviceAccountName: {{ include "skutune.serviceAccount.controller" . }}
  automountServiceAccountToken: true
  terminationGracePeriodSeconds: {{ $controller.terminationGracePeriodSeconds | int64 }}
  {{- with $controller.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $controller.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $controller.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: controller
      {{- include "skutune.container.common" (dict "root" . "image" "controller") | nindent 6 }}
      command: [skutune, controller, -c, /etc/skutune/controller.yaml]
      env:
        {{- $lists := list (include "skutune.env.common" . | fromYamlArray) (include "skutune.controller.env" . | fromYamlArray) .Values.extraEnv }}
        {{- include "skutune.env.unique" $lists | fromJsonArray | toYaml | nindent 8 }}
      ports:
        - {name: metrics, containerPort: 9090, protocol: TCP}
      livenessProbe:
        httpGet: {path: /healthz, port: metrics}
        initialDelaySeconds: 60
        periodSeconds: 30
        timeoutSeconds: 10
        failureThreshold: 10
      resources:
        {{- toYaml $controller.resources | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/skutune, readOnly: true}
        {{- include "skutune.mounts.common" . | nindent 8 }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - {name: config, configMap: {name: {{ include "skutune.fullname" . }}-config}}
    {{- include "skutune.volumes.common" . | nindent 4 }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/*
The Job's spec. Evictions and SIGTERM (143) do not count as failures: the next pod resumes. The other documented exit codes fail the
Job at once. There is no TTL, because the Job owns all stage Jobs and they would be deleted with it.
*/}}
{{- define "skutune.controller.jobSpec" -}}
backoffLimit: 3
podReplacementPolicy: Failed
podFailurePolicy:
  rules:
    - action: Ignore
      onPodConditions:
        - {type: DisruptionTarget, status: "True"}
    - action: Ignore
      onExitCodes: {containerName: controller, operator: In, values: [143]}
    - action: FailJob
      onExitCodes: {containerName: controller, operator: In, values: [10, 20, 75, 76]}
template:
  {{- include "skutune.controller.podTemplate" . | nindent 2 }}
{{- end -}}
