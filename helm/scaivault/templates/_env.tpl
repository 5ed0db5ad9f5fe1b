{{- /* The environment of a container is made of these parts; each begins with a line of its own. */ -}}

{{- /* All of `config`, or of it what `only` names, by (root, only). */ -}}
{{- define "scaivault.env.config" -}}
{{- range $name, $value := .root.Values.config }}
{{- if and (not (kindIs "invalid" $value)) (or (not $.only) (has $name $.only)) }}
- name: {{ $name }}
  value: {{ include "scaivault.text" $value | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* Where the files of the secrets are that `names` names and that exist, by (root, names, folder). */ -}}
{{- define "scaivault.env.secrets" -}}
{{- range $name := .names }}
{{- if (index $.root.Values.secrets $name).existingSecret }}
- name: {{ $name }}_FILE
  value: {{ $.folder }}/{{ $name }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* The root key that is used, and the one that is being replaced, by root. */ -}}
{{- define "scaivault.env.kms" -}}
{{- include "scaivault.env.rootKey" (dict "prefix" "KMS_" "kms" .Values.kms "folder" "kms") }}
{{- end -}}

{{- define "scaivault.env.previousKms" -}}
{{- if .Values.previousKms.provider }}
{{- include "scaivault.env.rootKey" (dict "prefix" "PREVIOUS_KMS_" "kms" .Values.previousKms "folder" "previous-kms") }}
{{- end }}
{{- end -}}

{{- define "scaivault.env.rootKey" }}
- name: {{ .prefix }}PROVIDER
  value: {{ .kms.provider }}
{{- if eq .kms.provider "local" }}
- name: {{ .prefix }}LOCAL_KEY_FILE
  value: /run/scaivault/keys/{{ .folder }}
{{- else if eq .kms.provider "aws" }}
{{- range $name, $value := dict "KEY_ID" .kms.aws.keyId "SIGNING_KEY_ID" .kms.aws.signingKeyId "ENDPOINT_URL" .kms.aws.endpointUrl }}
{{- if $value }}
- name: {{ $.prefix }}{{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- else if eq .kms.provider "pkcs11" }}
- name: {{ .prefix }}PKCS11_LIBRARY
  value: {{ .kms.pkcs11.library | quote }}
- name: {{ .prefix }}PKCS11_TOKEN_LABEL
  value: {{ .kms.pkcs11.tokenLabel | quote }}
- name: {{ .prefix }}PKCS11_KEY_LABEL
  value: {{ .kms.pkcs11.keyLabel | quote }}
- name: {{ .prefix }}PKCS11_PIN_FILE
  value: /etc/scaivault/{{ .folder }}/pin
{{- end }}
{{- end -}}

{{- /* What API and worker have in common, by root. */ -}}
{{- define "scaivault.env.vault" -}}
{{- include "scaivault.env.config" (dict "root" . "only" list) }}
{{- include "scaivault.env.secrets" (dict "root" . "names" (include "scaivault.secretsOfTheVault" . | fromYamlArray) "folder" "/etc/scaivault/secrets") }}
{{- include "scaivault.env.kms" . }}
{{- include "scaivault.env.previousKms" . }}
{{- if .Values.otlpCa.existingConfigMap }}
- name: OTEL_EXPORTER_OTLP_CERTIFICATE
  value: /etc/scaivault/otlp-ca/ca.crt
{{- end }}
- name: METRICS_DIR
  value: /run/scaivault/metrics
{{- end -}}

{{- define "scaivault.secretsOfTheVault" -}}
[DATABASE_URL, REDIS_URL, SCAIKEY_WEBHOOK_SECRET, SCAIKEY_CLIENT_SECRET, OTEL_EXPORTER_OTLP_HEADERS]
{{- end -}}

{{- /* The exporter has a login of its own or the vault's, and is not even shown the other. */ -}}
{{- define "scaivault.secretsOfTheExporter" -}}
[{{ ternary "EXPORTER_DATABASE_URL" "DATABASE_URL" (not (empty .Values.secrets.EXPORTER_DATABASE_URL.existingSecret)) }}, REDIS_URL]
{{- end -}}

{{- define "scaivault.env.extra" -}}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}
