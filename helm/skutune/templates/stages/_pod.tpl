{{/* The pod of a stage. All take: root, stage (a row of the plan). */}}

{{/* JSON list: the program; with more devices or pods of one training, how many train and where they meet. */}}
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

{{/* Whether several processes train one model. */}}
{{- define "skutune.stage.distributed" -}}
{{- if and (eq .stage.name "finetune") (or (gt (int .stage.settings.devices) 1) (gt (int .stage.settings.nodes) 1)) -}}yes{{- end -}}
{{- end -}}

{{- define "skutune.finetune.service" -}}
{{- printf "%s-finetune" (include "skutune.fullname" .) -}}
{{- end -}}

{{/* Labels of a stage that do not depend on the run. The queue's is for the Job: the controller takes it there, off the pods. */}}
{{- define "skutune.stage.labels" -}}
{{ include "skutune.selector" (dict "root" .root "component" "stage") }}
skutune.io/stage: {{ .stage.name }}
skutune.io/step: {{ .stage.step | int | quote }}
{{- with .root.Values.kueue.queueName }}
kueue.x-k8s.io/queue-name: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* Whether the stage's program loads models, and so needs /dev/shm. */}}
{{- define "skutune.stage.heavy" -}}
{{- if ne .stage.image "controller" -}}yes{{- end -}}
{{- end -}}

{{/* Whether the stage's pods mount the image with models: those that load one, and the stage that looks which there are. */}}
{{- define "skutune.stage.imageVolume" -}}
{{- if and (eq .root.Values.cache.type "image") (or (include "skutune.stage.heavy" .) (eq .stage.name "models")) -}}yes{{- end -}}
{{- end -}}

{{/* YAML list of a stage's own environment variables. Only the stage `models` may ask a hub, and only it has the token. */}}
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
{{- if include "skutune.stage.heavy" . }}
{{- if $settings.devices }}
- {name: SKUTUNE_DEVICES, value: {{ ternary (int64 $settings.devices) 0 .root.Values.gpu.check | quote }}}
{{- else }}
{{- /* Images built for GPUs ask the runtime for all of the node's; without a request, none are this pod's. */}}
- {name: NVIDIA_VISIBLE_DEVICES, value: void}
{{- end }}
- {name: XDG_CACHE_HOME, value: /cache}
- {name: VLLM_CACHE_ROOT, value: /cache/vllm}
- {name: TRITON_CACHE_DIR, value: /cache/triton}
- {name: TORCHINDUCTOR_CACHE_DIR, value: /cache/torchinductor}
- {name: OMP_NUM_THREADS, value: {{ include "skutune.stage.threads" . | quote }}}
{{- end }}
{{- end -}}

{{/* Threads of one process: the pod's cores, shared by the processes of a training. */}}
{{- define "skutune.stage.threads" -}}
{{- $cores := include "skutune.cores" .stage.settings.resources.requests.cpu | int -}}
{{- $processes := 1 -}}
{{- if include "skutune.stage.distributed" . -}}{{- $processes = max 1 (int .stage.settings.devices) -}}{{- end -}}
{{- max 1 (div $cores $processes) -}}
{{- end -}}

{{/* YAML list of a stage's own volumes. */}}
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
{{- if include "skutune.stage.heavy" . }}
- {name: shm, emptyDir: {medium: Memory, sizeLimit: {{ .stage.settings.shmSize | default .root.Values.shm.size | quote }}}}
{{- end }}
{{- end -}}

{{/* YAML list of a stage's own volume mounts. */}}
{{- define "skutune.stage.mounts" -}}
- {name: cache, mountPath: /cache}
{{- if include "skutune.stage.imageVolume" . }}
- {name: models, mountPath: {{ .root.Values.cache.image.mountPath | quote }}, readOnly: true}
{{- end }}
{{- if include "skutune.stage.heavy" . }}
- {name: shm, mountPath: /dev/shm}
{{- end }}
{{- end -}}

{{/* Metadata and spec of the pod, complete but for SKUTUNE_TASK and SKUTUNE_JOB, which the controller puts first into `env`. */}}
{{- define "skutune.stage.podTemplate" -}}
{{- $root := .root -}}
{{- $settings := .stage.settings -}}
metadata:
  labels:
    {{- merge (dict) (include "skutune.stage.labels" . | fromYaml) $root.Values.podLabels | toYaml | nindent 4 }}
  annotations:
    {{- $stay := include "skutune.undisrupted" $root | fromYaml }}
    {{- merge (dict) ($settings.podAnnotations | default dict) $root.Values.podAnnotations $stay | toYaml | nindent 4 }}
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
