{{- /* A volume of the secrets that `names` names and that exist, by (root, names, volume). */ -}}
{{- define "scaivault.volume.secrets" -}}
- name: {{ .volume }}
  projected:
    defaultMode: 0440
    sources:
      {{- range $name := .names }}
      {{- with index $.root.Values.secrets $name }}
      {{- if .existingSecret }}
      - secret:
          name: {{ .existingSecret }}
          items:
            - key: {{ .key }}
              path: {{ $name }}
      {{- end }}
      {{- end }}
      {{- end }}
{{- end -}}

{{- /* One file of one Secret, by (volume, secret, key, path). */ -}}
{{- define "scaivault.volume.file" -}}
- name: {{ .volume }}
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
    items:
      - key: {{ .key }}
        path: {{ .path }}
{{- end -}}

{{- define "scaivault.volume.memory" -}}
- name: {{ .volume }}
  emptyDir:
    medium: Memory
    sizeLimit: {{ .size }}
{{- end -}}

{{- /* What a server proves itself with, by (volume, ca). */ -}}
{{- define "scaivault.volume.ca" -}}
{{- if .ca.existingConfigMap }}
- name: {{ .volume }}
  configMap:
    name: {{ .ca.existingConfigMap }}
    items:
      - key: {{ .ca.key }}
        path: ca.crt
{{- end }}
{{- end -}}

{{- define "scaivault.mount.ca" -}}
{{- if .ca.existingConfigMap }}
- name: {{ .volume }}
  mountPath: /etc/scaivault/{{ .volume }}
  readOnly: true
{{- end }}
{{- end -}}

{{- define "scaivault.volume.tmp" -}}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- end -}}

{{- /* Pairs of a folder's name and the root key that it is about. */ -}}
{{- define "scaivault.rootKeys" -}}
{{- toYaml (dict "kms" .Values.kms "previous-kms" .Values.previousKms) -}}
{{- end -}}

{{- define "scaivault.hasLocalKey" -}}
{{- if or (eq .Values.kms.provider "local") (eq .Values.previousKms.provider "local") }}true{{ end -}}
{{- end -}}

{{- /* The volumes of API and worker alike, by root. */ -}}
{{- define "scaivault.volumes" -}}
{{ include "scaivault.volume.secrets" (dict "root" . "volume" "secrets" "names" (include "scaivault.secretsOfTheVault" . | fromYamlArray)) }}
{{- range $folder, $kms := include "scaivault.rootKeys" . | fromYaml }}
{{- if eq $kms.provider "local" }}
{{ include "scaivault.volume.file" (dict "volume" (print $folder "-source") "secret" $kms.local.existingSecret "key" $kms.local.key "path" "key") }}
{{- else if eq $kms.provider "pkcs11" }}
{{ include "scaivault.volume.file" (dict "volume" $folder "secret" $kms.pkcs11.pin.existingSecret "key" $kms.pkcs11.pin.key "path" "pin") }}
{{- end }}
{{- end }}
{{- if include "scaivault.hasLocalKey" . }}
{{ include "scaivault.volume.memory" (dict "volume" "keys" "size" "1Mi") }}
{{- end }}
{{- range $volume, $ca := dict "database-ca" .Values.databaseCa "redis-ca" .Values.redisCa "otlp-ca" .Values.otlpCa }}
{{- include "scaivault.volume.ca" (dict "volume" $volume "ca" $ca) }}
{{- end }}
{{ include "scaivault.volume.memory" (dict "volume" "metrics" "size" (printf "%dMi" (mul 8 (int64 .Values.config.WEB_CONCURRENCY)))) }}
{{ include "scaivault.volume.tmp" . }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* What every container may have, the migration's too, by root. */ -}}
{{- define "scaivault.mounts.all" -}}
{{- include "scaivault.mount.ca" (dict "volume" "database-ca" "ca" .Values.databaseCa) }}
- name: tmp
  mountPath: /tmp
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* What opens the root key and leads to the databases; the exporter has this too, by root. */ -}}
{{- define "scaivault.mounts.kms" -}}
{{- if include "scaivault.hasLocalKey" . }}
- name: keys
  mountPath: /run/scaivault/keys
  readOnly: true
{{- end }}
{{- range $folder, $kms := include "scaivault.rootKeys" . | fromYaml }}
{{- if eq $kms.provider "pkcs11" }}
- name: {{ $folder }}
  mountPath: /etc/scaivault/{{ $folder }}
  readOnly: true
{{- end }}
{{- end }}
{{- include "scaivault.mount.ca" (dict "volume" "redis-ca" "ca" .Values.redisCa) }}
{{- include "scaivault.mounts.all" . }}
{{- end -}}

{{- define "scaivault.mounts" -}}
- name: secrets
  mountPath: /etc/scaivault/secrets
  readOnly: true
- name: metrics
  mountPath: /run/scaivault/metrics
{{- include "scaivault.mount.ca" (dict "volume" "otlp-ca" "ca" .Values.otlpCa) }}
{{- include "scaivault.mounts.kms" . }}
{{- end -}}

{{- /*
The vault takes a key file only if it is nobody else's, and a mounted Secret belongs to root and is a link. So a copy
that does belong to the vault is made in memory.
*/ -}}
{{- define "scaivault.initContainers" -}}
{{- $hasLocalKey := include "scaivault.hasLocalKey" . }}
{{- if or $hasLocalKey .Values.extraInitContainers }}
initContainers:
  {{- if $hasLocalKey }}
  - name: keys
    {{- include "scaivault.container" . | nindent 4 }}
    command: [/bin/sh, -ec]
    args:
      - |
        for source in /etc/scaivault/keys/*; do
          install --mode=0400 "$source/key" "/run/scaivault/keys/${source##*/}"
        done
    resources:
      requests: {cpu: 10m, memory: 16Mi}
      limits: {memory: 64Mi}
    volumeMounts:
      - name: keys
        mountPath: /run/scaivault/keys
      {{- range $folder, $kms := include "scaivault.rootKeys" . | fromYaml }}
      {{- if eq $kms.provider "local" }}
      - name: {{ $folder }}-source
        mountPath: /etc/scaivault/keys/{{ $folder }}
        readOnly: true
      {{- end }}
      {{- end }}
  {{- end }}
  {{- with .Values.extraInitContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}
