{{/* Validation beyond the schema: combinations of values that cannot run. All problems are reported together. */}}

{{- define "skutune.validation" -}}
{{- $problems := concat (include "skutune.validation.config" . | fromJsonArray) (include "skutune.validation.plan" . | fromJsonArray) (include "skutune.validation.access" . | fromJsonArray) (include "skutune.validation.pods" . | fromJsonArray) -}}
{{- if $problems -}}
{{- fail (printf "invalid values:\n\n  - %s\n" (join "\n  - " $problems)) -}}
{{- end -}}
{{- end -}}

{{/* JSON list: problems with the locations of data and models. */}}
{{- define "skutune.validation.config" -}}
{{- $problems := list -}}
{{- $config := .Values.config -}}
{{- if not (regexMatch "^s3://[A-Za-z0-9._-]{3,}(/|$)" ($config.store | default "./runs")) -}}
  {{- $problems = append $problems (printf "config.store is %q, but a cluster needs s3://bucket/prefix; set the endpoint and credentials in store.endpoint and store.existingSecret" ($config.store | default "./runs")) -}}
{{- end -}}
{{- if not (or (hasPrefix "s3://" $config.catalog.source) (hasPrefix "/" $config.catalog.source)) -}}
  {{- $problems = append $problems (printf "config.catalog.source is %q, which does not exist in a pod; use s3://bucket/key, or the absolute path in a volume mounted by extraVolumes" $config.catalog.source) -}}
{{- end -}}
{{- range $role, $model := $config.models -}}
  {{- if and $model (regexMatch "^[.~]" $model.name) -}}
    {{- $problems = append $problems (printf "config.models.%s.name is %q, which does not exist in a pod; use a hub name, s3://bucket/prefix or the absolute path in a mounted volume" $role $model.name) -}}
  {{- end -}}
{{- end -}}
{{- range $role := include "skutune.models.hub" . | fromJsonArray -}}
  {{- $model := index $config.models $role -}}
  {{- if not (regexMatch "^[0-9a-f]{40}$" (get $model "revision" | default "")) -}}
    {{- $problems = append $problems (printf "config.models.%s: set revision of hub model %q to a full commit hash (40 characters); a branch may change between two pods" $role $model.name) -}}
  {{- end -}}
{{- end -}}
{{- $problems | toJson -}}
{{- end -}}

{{/* JSON list: stages that exceed the device budget, and conflicting schedules. */}}
{{- define "skutune.validation.plan" -}}
{{- $problems := list -}}
{{- $budget := int .Values.gpu.devices -}}
{{- $kueue := .Values.kueue.queueName -}}
{{- range $name, $stage := include "skutune.plan" . | fromJson -}}
  {{- $devices := int $stage.settings.devices -}}
  {{- $nodes := int $stage.settings.nodes -}}
  {{- $shards := int $stage.settings.shards -}}
  {{- if gt $devices $budget -}}
    {{- $problems = append $problems (printf "stages.%s.devices is %d, but gpu.devices (the run's device budget) is %d; raise gpu.devices or lower stages.%s.devices" $name $devices $budget $name) -}}
  {{- else if gt (mul $devices $nodes) (int64 $budget) -}}
    {{- $problems = append $problems (printf "stages.%s: %d nodes with %d devices each need %d devices, but gpu.devices is %d; raise gpu.devices or lower nodes or devices" $name $nodes $devices (mul $devices $nodes) $budget) -}}
  {{- else if and $kueue (gt (mul $devices $shards) (int64 $budget)) -}}
    {{- $problems = append $problems (printf "stages.%s: Kueue admits only complete Jobs, and %d shards with %d devices each exceed gpu.devices (%d); lower shards" $name $shards $devices $budget) -}}
  {{- end -}}
{{- end -}}
{{- with .Values.schedule -}}
  {{- if and .cron (gt (int $.Values.rerun) 0) -}}
    {{- $problems = append $problems "rerun has no effect with schedule.cron; set rerun to 0 and start a run with kubectl create job --from=cronjob/…" -}}
  {{- end -}}
  {{- if and .suspend (not .cron) -}}
    {{- $problems = append $problems "schedule.suspend requires schedule.cron, without which there is no CronJob; set schedule.cron" -}}
  {{- end -}}
{{- end -}}
{{- $problems | toJson -}}
{{- end -}}

{{/* JSON list: problems with images, service accounts, certificates and the cache. */}}
{{- define "skutune.validation.access" -}}
{{- $problems := list -}}
{{- with .Values.images -}}
  {{- if not .registry -}}
    {{- $problems = append $problems "images.registry is empty; set it, or build the images with `make images REGISTRY=… PUSH=1`, which writes these values" -}}
  {{- end -}}
  {{- range $name := list "controller" "generate" "train" -}}
    {{- $image := index $.Values.images $name -}}
    {{- if and (eq $image.tag "latest") (not $image.digest) -}}
      {{- $problems = append $problems (printf "images.%s.tag is latest, which may change during a run; set a version or a digest" $name) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- range $name, $account := .Values.serviceAccounts -}}
  {{- if not (or $account.create $account.name) -}}
    {{- $problems = append $problems (printf "serviceAccounts.%s.create is false; set serviceAccounts.%s.name to an existing ServiceAccount" $name $name) -}}
  {{- end -}}
{{- end -}}
{{- if eq (include "skutune.serviceAccount.controller" .) (include "skutune.serviceAccount.stages" .) -}}
  {{- $problems = append $problems "serviceAccounts.controller and serviceAccounts.stages are the same account, which would give stages the controller's permissions; use two accounts" -}}
{{- end -}}
{{- with .Values.store.caBundle -}}
  {{- if and .configMap .secret -}}
    {{- $problems = append $problems "store.caBundle sets both configMap and secret; remove one" -}}
  {{- end -}}
{{- end -}}
{{- with .Values.cache -}}
  {{- if and (eq .type "pvc") (not .claim) -}}
    {{- $problems = append $problems "cache.type is pvc; set cache.claim to the name of a PersistentVolumeClaim" -}}
  {{- else if and (ne .type "pvc") .claim -}}
    {{- $problems = append $problems (printf "cache.claim is set, but cache.type is %s; set cache.type to pvc" .type) -}}
  {{- end -}}
  {{- if and (eq .type "image") (not .image.reference) -}}
    {{- $problems = append $problems "cache.type is image; set cache.image.reference to the image with the models" -}}
  {{- else if and (ne .type "image") .image.reference -}}
    {{- $problems = append $problems (printf "cache.image.reference is set, but cache.type is %s; set cache.type to image" .type) -}}
  {{- end -}}
{{- end -}}
{{- $problems | toJson -}}
{{- end -}}

{{/* JSON list: reserved environment variables, and devices in resources. */}}
{{- define "skutune.validation.pods" -}}
{{- $problems := list -}}
{{- $envLists := dict "extraEnv" .Values.extraEnv "defaults.extraEnv" .Values.defaults.extraEnv -}}
{{- $resources := dict "defaults" .Values.defaults.resources -}}
{{- range $name, $stage := .Values.stages -}}
  {{- $_ := set $envLists (printf "stages.%s.extraEnv" $name) (get ($stage | default dict) "extraEnv" | default list) -}}
  {{- $_ := set $resources (printf "stages.%s" $name) (get ($stage | default dict) "resources" | default dict) -}}
{{- end -}}
{{- range $path, $entries := $envLists -}}
  {{- range $entry := $entries -}}
    {{- if has $entry.name (list "SKUTUNE_TASK" "SKUTUNE_JOB" "JOB_COMPLETION_INDEX") -}}
      {{- $problems = append $problems (printf "%s sets %s, which is reserved for the controller; remove it" $path $entry.name) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $problems = concat $problems (include "skutune.validation.volumes" . | fromJsonArray) -}}
{{- range $path, $section := $resources -}}
  {{- range $kind, $quantities := $section -}}
    {{- if hasKey ($quantities | default dict) $.Values.gpu.resource -}}
      {{- $problems = append $problems (printf "%s.resources.%s sets %s; set devices instead, which count towards the budget" $path $kind $.Values.gpu.resource) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $problems | toJson -}}
{{- end -}}

{{/* JSON list: additional volumes and mounts that the chart defines itself, which the API server would refuse. */}}
{{- define "skutune.validation.volumes" -}}
{{- $problems := list -}}
{{- $volumes := dict "home" "its pods have a writable HOME" "tmp" "its pods have a writable /tmp" "config" "choose another name" "store-ca" "set store.caBundle" "cache" "set cache.type and cache.size" "models" "set cache.image" "shm" "set shm.size" -}}
{{- $paths := dict "/home/skutune" "home" "/tmp" "tmp" "/etc/skutune" "config" "/etc/skutune-ca" "store-ca" "/cache" "cache" "/dev/shm" "shm" -}}
{{- $sections := dict "" .Values "defaults." .Values.defaults -}}
{{- range $name, $stage := .Values.stages -}}{{- $_ := set $sections (printf "stages.%s." $name) ($stage | default dict) -}}{{- end -}}
{{- range $path, $section := $sections -}}
  {{- range $volume := $section.extraVolumes -}}
    {{- if hasKey $volumes $volume.name -}}
      {{- $problems = append $problems (printf "%sextraVolumes names %s, which the chart defines; %s" $path $volume.name (get $volumes $volume.name)) -}}
    {{- end -}}
  {{- end -}}
  {{- range $mount := $section.extraVolumeMounts -}}
    {{- $target := $mount.mountPath | default "" | trimSuffix "/" -}}
    {{- if hasKey $paths $target -}}
      {{- $problems = append $problems (printf "%sextraVolumeMounts mounts %s, which the chart mounts; %s" $path $target (get $volumes (get $paths $target))) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $problems | toJson -}}
{{- end -}}
