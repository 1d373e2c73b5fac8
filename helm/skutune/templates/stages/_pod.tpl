{{/* The pod of a stage. All templates take: root, stage (a row of the plan). */}}

{{/* JSON list: the worker's command, with the topology and rendezvous address of a distributed training. */}}
{{- define "skutune.stage.command" -}}
{{- $nodes := int .stage.settings.nodes -}}
{{- $shard := ternary "$(JOB_COMPLETION_INDEX)" "0" (eq .stage.kind "map") -}}
{{- $command := list "skutune" "worker" "--task" "$(SKUTUNE_TASK)" "--shard" $shard -}}
{{- if include "skutune.stage.distributed" . -}}
{{- $command = concat $command (list "--processes" (toString (max 1 (int .stage.settings.devices)))) -}}
{{- end -}}
{{- if gt $nodes 1 -}}
{{- $first := printf "$(SKUTUNE_JOB)-0.%s:29500" (include "skutune.finetune.service" .root) -}}
{{- $command = concat $command (list "--nodes" (toString $nodes) "--node-rank" "$(JOB_COMPLETION_INDEX)" "--rendezvous" $first) -}}
{{- end -}}
{{- $command | toJson -}}
{{- end -}}

{{/* Non-empty if the training is distributed over several processes. */}}
{{- define "skutune.stage.distributed" -}}
{{- if and (eq .stage.name "finetune") (or (gt (int .stage.settings.devices) 1) (gt (int .stage.settings.nodes) 1)) -}}yes{{- end -}}
{{- end -}}

{{- define "skutune.finetune.service" -}}
{{- printf "%s-finetune" (include "skutune.fullname" .) -}}
{{- end -}}

{{/* Labels of a stage that do not depend on the run. The controller moves the queue's label from the pods to the Job. */}}
{{- define "skutune.stage.labels" -}}
{{ include "skutune.selector" (dict "root" .root "component" "stage") }}
skutune.io/stage: {{ .stage.name }}
skutune.io/step: {{ .stage.step | int | quote }}
{{- with .root.Values.kueue.queueName }}
kueue.x-k8s.io/queue-name: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* Non-empty if the stage loads models, and needs /dev/shm. */}}
{{- define "skutune.stage.loadsModels" -}}
{{- if ne .stage.image "controller" -}}yes{{- end -}}
{{- end -}}

{{/* Non-empty if the stage's pods mount the image volume: those that load models, and the stage `models`. */}}
{{- define "skutune.stage.imageVolume" -}}
{{- if and (eq .root.Values.cache.type "image") (or (include "skutune.stage.loadsModels" .) (eq .stage.name "models")) -}}yes{{- end -}}
{{- end -}}

{{/* YAML list: a stage's own environment variables. Only the stage `models` may access the hub and has its token. */}}
{{- define "skutune.stage.env" -}}
{{- $hub := .root.Values.hub -}}
{{- $settings := .stage.settings -}}
- {name: SKUTUNE_CACHE, value: /cache}
- {name: SKUTUNE_STALL_SECONDS, value: {{ $settings.watchdogSeconds | int64 | quote }}}
- {name: HF_HOME, value: /cache/huggingface}
{{- if eq .stage.name "models" }}
{{- with $hub.endpoint }}
- {name: HF_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- with $hub.existingSecret }}
- {name: HF_TOKEN, valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: {{ $hub.key | quote }}}}}
{{- end }}
{{- else }}
- {name: HF_HUB_OFFLINE, value: "1"}
{{- end }}
{{- if include "skutune.stage.loadsModels" . }}
{{- if $settings.devices }}
- {name: SKUTUNE_DEVICES, value: {{ ternary (int64 $settings.devices) 0 .root.Values.gpu.check | quote }}}
{{- else }}
{{- /* GPU images request all GPUs of the node from the container runtime by default. */}}
- {name: NVIDIA_VISIBLE_DEVICES, value: void}
{{- end }}
- {name: XDG_CACHE_HOME, value: /cache}
- {name: VLLM_CACHE_ROOT, value: /cache/vllm}
- {name: TRITON_CACHE_DIR, value: /cache/triton}
- {name: TORCHINDUCTOR_CACHE_DIR, value: /cache/torchinductor}
- {name: OMP_NUM_THREADS, value: {{ include "skutune.stage.threads" . | quote }}}
{{- end }}
{{- end -}}

{{/* Threads per process: the pod's cores divided by the processes of a training. */}}
{{- define "skutune.stage.threads" -}}
{{- $cores := include "skutune.cores" .stage.settings.resources.requests.cpu | int -}}
{{- $processes := 1 -}}
{{- if include "skutune.stage.distributed" . -}}{{- $processes = max 1 (int .stage.settings.devices) -}}{{- end -}}
{{- max 1 (div $cores $processes) -}}
{{- end -}}

{{/* YAML list: a stage's own volumes. */}}
{{- define "skutune.stage.volumes" -}}
{{- $cache := .root.Values.cache -}}
{{- if eq $cache.type "pvc" }}
- {name: cache, persistentVolumeClaim: {claimName: {{ $cache.claim | quote }}}}
{{- else }}
- {name: cache, emptyDir: {sizeLimit: {{ $cache.size | quote }}}}
{{- end }}
{{- if include "skutune.stage.imageVolume" . }}
- {name: models, image: {reference: {{ $cache.image.reference | quote }}, pullPolicy: {{ $cache.image.pullPolicy }}}}
{{- end }}
{{- if include "skutune.stage.loadsModels" . }}
- {name: shm, emptyDir: {medium: Memory, sizeLimit: {{ .stage.settings.shmSize | default .root.Values.shm.size | quote }}}}
{{- end }}
{{- end -}}

{{/* YAML list: a stage's own volume mounts. */}}
{{- define "skutune.stage.mounts" -}}
- {name: cache, mountPath: /cache}
{{- if include "skutune.stage.imageVolume" . }}
- {name: models, mountPath: {{ .root.Values.cache.image.mountPath | quote }}, readOnly: true}
{{- end }}
{{- if include "skutune.stage.loadsModels" . }}
- {name: shm, mountPath: /dev/shm}
{{- end }}
{{- end -}}

{{/* Metadata and spec of the pod, without SKUTUNE_TASK and SKUTUNE_JOB, which the controller prepends to `env`. */}}
{{- define "skutune.stage.podTemplate" -}}
{{- $root := .root -}}
{{- $settings := .stage.settings -}}
metadata:
  labels:
    {{- merge (dict) (include "skutune.stage.labels" . | fromYaml) $root.Values.podLabels | toYaml | nindent 4 }}
  annotations:
    {{- $undisrupted := include "skutune.undisrupted" $root | fromYaml }}
    {{- merge (dict) ($settings.podAnnotations | default dict) $root.Values.podAnnotations $undisrupted | toYaml | nindent 4 }}
spec:
  {{- include "skutune.pod.common" (dict "root" $root "priorityClassName" $settings.priorityClassName) | nindent 2 }}
  serviceAccountName: {{ include "skutune.serviceAccount.stages" $root }}
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: {{ $settings.terminationGracePeriodSeconds | int64 }}
  {{- if gt (int $settings.nodes) 1 }}
  subdomain: {{ include "skutune.finetune.service" $root }}
  {{- end }}
  {{- if and $settings.devices $root.Values.gpu.runtimeClassName }}
  runtimeClassName: {{ $root.Values.gpu.runtimeClassName | quote }}
  {{- end }}
  {{- range $key := list "nodeSelector" "tolerations" "affinity" }}
  {{- with index $settings $key }}
  {{ $key }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  containers:
    - name: worker
      {{- include "skutune.container.common" (dict "root" $root "image" .stage.image) | nindent 6 }}
      command:
        {{- include "skutune.stage.command" . | fromJsonArray | toYaml | nindent 8 }}
      env:
        {{- $lists := list (include "skutune.env.common" $root | fromYamlArray) (include "skutune.stage.env" . | fromYamlArray) $root.Values.extraEnv ($settings.extraEnv | default list) }}
        {{- include "skutune.env.unique" $lists | fromJsonArray | toYaml | nindent 8 }}
      resources:
        {{- toYaml $settings.resources | nindent 8 }}
      volumeMounts:
        {{- include "skutune.mounts.common" $root | nindent 8 }}
        {{- include "skutune.stage.mounts" . | nindent 8 }}
        {{- with concat $root.Values.extraVolumeMounts ($settings.extraVolumeMounts | default list) }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    {{- include "skutune.volumes.common" $root | nindent 4 }}
    {{- include "skutune.stage.volumes" . | nindent 4 }}
    {{- with concat $root.Values.extraVolumes ($settings.extraVolumes | default list) }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
