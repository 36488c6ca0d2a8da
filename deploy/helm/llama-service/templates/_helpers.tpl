{{- define "llama-service.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "llama-service.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "llama-service.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{ include "llama-service.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "llama-service.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "llama-service.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{/* What a container runs: by digest where one is given, else by tag. */}}
{{- define "llama-service.reference" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (default .tag .image.tag) -}}
{{- end -}}
{{- end }}

{{- define "llama-service.image" -}}
{{- include "llama-service.reference" (dict "image" .Values.image "tag" .Chart.AppVersion) -}}
{{- end }}

{{- define "llama-service.embeddedImage" -}}
{{- include "llama-service.reference" (dict "image" .Values.embeddings.image "tag" (printf "%s-embedded" .Chart.AppVersion)) -}}
{{- end }}

{{- define "llama-service.claim" -}}
{{- default (printf "%s-data" (include "llama-service.fullname" .)) .Values.blobs.volume.existingClaim -}}
{{- end }}

{{/* The settings. Written into each pod, not into a ConfigMap: a pre-install hook would come before it, and a change
of a value has to start new pods. */}}
{{- define "llama-service.env" -}}
{{- $set := dict "INLINE_WORKER" (.Values.worker.enabled | ternary "false" "true") -}}
{{- $_ := set $set "SHUTDOWN_GRACE_SECONDS" (toString .Values.api.shutdownGraceSeconds) -}}
{{- if .Values.blobs.url }}{{ $_ := set $set "BLOB_URL" .Values.blobs.url }}{{ end -}}
{{- if .Values.embeddings.enabled -}}
{{- $_ := set $set "EMBEDDED_EMBEDDINGS_URL" (printf "http://%s-embeddings:8081/v1" (include "llama-service.fullname" .)) -}}
{{- end -}}
{{- range $name, $value := merge $set .Values.config }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- range .Values.secrets.keys }}
{{- if $.Values.secrets.asFiles }}
- name: {{ . }}_FILE
  value: /run/secrets/llama-service/{{ . }}
{{- else }}
- name: {{ . }}
  valueFrom: { secretKeyRef: { name: {{ $.Values.secrets.existingSecret }}, key: {{ . }} } }
{{- end }}
{{- end }}
{{- end }}

{{- define "llama-service.volumeMounts" -}}
- { name: data, mountPath: /data }
- { name: tmp, mountPath: /tmp }
{{- if .Values.secrets.asFiles }}
- { name: secrets, mountPath: /run/secrets/llama-service, readOnly: true }
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "llama-service.volumes" -}}
- name: tmp
  emptyDir: {}
{{- if .Values.secrets.asFiles }}
- name: secrets
  secret:
    secretName: {{ .Values.secrets.existingSecret }}
    defaultMode: 0440
    items:
      {{- range .Values.secrets.keys }}
      - { key: {{ . }}, path: {{ . }} }
      {{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "llama-service.dataVolume" -}}
- name: data
{{- if .Values.blobs.url }}
  emptyDir: {}
{{- else }}
  persistentVolumeClaim: { claimName: {{ include "llama-service.claim" . }} }
{{- end }}
{{- end }}

{{- define "llama-service.podSpec" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
