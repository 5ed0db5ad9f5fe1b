{{- /* What the schema can not say, a line for each fault, with the value's name and never what it is. */ -}}
{{- define "scaivault.faults" -}}
{{- include "scaivault.faults.required" . }}
{{- include "scaivault.faults.kms" (dict "name" "kms" "kms" .Values.kms) }}
{{- if .Values.previousKms.provider }}
{{- include "scaivault.faults.kms" (dict "name" "previousKms" "kms" .Values.previousKms) }}
{{- else }}
{{- include "scaivault.faults.strangers" (dict "name" "previousKms" "kms" .Values.previousKms) }}
{{- end }}
{{- include "scaivault.faults.config" . }}
{{- include "scaivault.faults.pods" . }}
{{- end -}}

{{- define "scaivault.faults.required" -}}
{{- if not .Values.image.repository }}
image.repository is required: where the image is that you built from the Dockerfile.
{{- end }}
{{- if not .Values.config.BASE_URL }}
config.BASE_URL is required: the public URL of the API, https://…
{{- end }}
{{- range $name := list "DATABASE_URL" "REDIS_URL" }}
{{- if not (index $.Values.secrets $name).existingSecret }}
secrets.{{ $name }}.existingSecret is required: the name of the Secret that has {{ $name }}.
{{- end }}
{{- end }}
{{- if not .Values.kms.provider }}
kms.provider is required: local, aws or pkcs11.
{{- end }}
{{- end -}}

{{- /* What a provider lacks, and what belongs to another one, by (name, kms). */ -}}
{{- define "scaivault.faults.kms" -}}
{{- $needs := include "scaivault.kmsNeeds" .kms | fromYaml }}
{{- range $value, $given := index $needs (.kms.provider | default "local") }}
{{- if and $.kms.provider (not $given) }}
{{ $.name }}.{{ $value }} is required by {{ $.name }}.provider={{ $.kms.provider }}.
{{- end }}
{{- end }}
{{- include "scaivault.faults.strangers" . }}
{{- if and .kms.aws.endpointUrl (not (regexMatch "^https?://[^@\\s]+$" .kms.aws.endpointUrl)) }}
{{ .name }}.aws.endpointUrl must begin with https:// and name a host, without user and password.
{{- end }}
{{- if and .kms.aws.signingKeyId .kms.aws.keyId }}
{{- if ne (index (splitList ":" .kms.aws.signingKeyId) 3) (index (splitList ":" .kms.aws.keyId) 3) }}
{{ .name }}.aws.signingKeyId must be in the region of {{ .name }}.aws.keyId.
{{- end }}
{{- end }}
{{- end -}}

{{- define "scaivault.faults.strangers" -}}
{{- $takes := include "scaivault.kmsNeeds" .kms | fromYaml }}
{{- $_ := set $takes.aws "aws.signingKeyId" .kms.aws.signingKeyId }}
{{- $_ := set $takes.aws "aws.endpointUrl" .kms.aws.endpointUrl }}
{{- range $provider, $values := $takes }}
{{- range $value, $given := $values }}
{{- if and $given (ne $provider $.kms.provider) }}
{{ $.name }}.{{ $value }} belongs to {{ $.name }}.provider={{ $provider }}; remove it.
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "scaivault.kmsNeeds" -}}
local:
  local.existingSecret: {{ .local.existingSecret | quote }}
aws:
  aws.keyId: {{ .aws.keyId | quote }}
pkcs11:
  pkcs11.library: {{ .pkcs11.library | quote }}
  pkcs11.tokenLabel: {{ .pkcs11.tokenLabel | quote }}
  pkcs11.keyLabel: {{ .pkcs11.keyLabel | quote }}
  pkcs11.pin.existingSecret: {{ .pkcs11.pin.existingSecret | quote }}
{{- end -}}

{{- define "scaivault.faults.config" -}}
{{- $config := .Values.config }}
{{- $secrets := .Values.secrets }}
{{- /* Not by the schema, whose complaints show what they are about. */ -}}
{{- range $name, $value := $config }}
{{- if and (or (hasSuffix "_URL" $name) (hasSuffix "_ENDPOINT" $name)) $value (not (regexMatch "^https?://[^@\\s]+$" $value)) }}
config.{{ $name }} must begin with https:// or http:// and name a host, without user and password.
{{- end }}
{{- end }}
{{- if lt (int64 $config.DRAIN_SECONDS) 4 }}
config.DRAIN_SECONDS must be at least 4: that a pod is ending is noticed after 2 seconds, and has to get about.
{{- end }}
{{- if and $config.SCAIKEY_JWKS_URL (not $config.SCAIKEY_URL) }}
config.SCAIKEY_URL is required when config.SCAIKEY_JWKS_URL is set.
{{- end }}
{{- if or $config.SCAIKEY_CLIENT_ID $secrets.SCAIKEY_CLIENT_SECRET.existingSecret $config.IDENTITY_SYNC_INTERVAL }}
{{- range $name := list "SCAIKEY_URL" "SCAIKEY_CLIENT_ID" }}
{{- if not (index $config $name) }}
config.{{ $name }} is required to read the directory, which another value asks for.
{{- end }}
{{- end }}
{{- if not $secrets.SCAIKEY_CLIENT_SECRET.existingSecret }}
secrets.SCAIKEY_CLIENT_SECRET.existingSecret is required to read the directory, which another value asks for.
{{- end }}
{{- end }}
{{- if and (or $secrets.OTEL_EXPORTER_OTLP_HEADERS.existingSecret .Values.otlpCa.existingConfigMap) (not $config.OTEL_EXPORTER_OTLP_ENDPOINT) }}
config.OTEL_EXPORTER_OTLP_ENDPOINT is required when something is set for its collector.
{{- end }}
{{- if and $secrets.OTEL_EXPORTER_OTLP_HEADERS.existingSecret (hasPrefix "http://" ($config.OTEL_EXPORTER_OTLP_ENDPOINT | default "")) (ne $config.SCAIVAULT_ENV "development") }}
config.OTEL_EXPORTER_OTLP_ENDPOINT must begin with https:// when secrets.OTEL_EXPORTER_OTLP_HEADERS is set.
{{- end }}
{{- end -}}

{{- define "scaivault.faults.pods" -}}
{{- $api := .Values.api }}
{{- if ne (len (uniq (list (int64 $api.port) (int64 $api.opsPort) (int64 .Values.exporter.port)))) 3 }}
api.port, api.opsPort and exporter.port must differ: they are ports of one pod.
{{- end }}
{{- if $api.autoscaling.enabled }}
{{- if gt (int64 $api.autoscaling.minReplicas) (int64 $api.autoscaling.maxReplicas) }}
api.autoscaling.minReplicas is above api.autoscaling.maxReplicas.
{{- end }}
{{- if not (dig "requests" "cpu" "" $api.resources) }}
api.resources.requests.cpu is required when api.autoscaling.enabled is set: it is what utilization is a part of.
{{- end }}
{{- end }}
{{- $apiPods := ternary $api.autoscaling.minReplicas $api.replicas $api.autoscaling.enabled }}
{{- include "scaivault.faults.budget" (dict "name" "api" "budget" $api.podDisruptionBudget "pods" $apiPods) }}
{{- include "scaivault.faults.budget" (dict "name" "worker" "budget" .Values.worker.podDisruptionBudget "pods" .Values.worker.replicas) }}
{{- if and .Values.serviceAccount.annotations (not .Values.serviceAccount.create) }}
serviceAccount.annotations are for one that is made: set serviceAccount.create, or annotate your own.
{{- end }}
{{- if and .Values.ingress.tlsSecret (not .Values.ingress.enabled) }}
ingress.tlsSecret is set, and ingress.enabled is not.
{{- end }}
{{- end -}}

{{- /* Whether a budget lets a node be emptied at all, by (name, budget, pods). */ -}}
{{- define "scaivault.faults.budget" -}}
{{- $least := .budget.minAvailable }}
{{- if .budget.enabled }}
{{- if and (kindIs "float64" $least) (ge (int64 $least) (int64 .pods)) }}
{{ .name }}.podDisruptionBudget.minAvailable must be below the number of pods, or no node can be emptied.
{{- else if and (eq (toString $least) "") (has (toString .budget.maxUnavailable) (list "0" "0%")) }}
{{ .name }}.podDisruptionBudget.maxUnavailable must not be 0, or no node can be emptied.
{{- end }}
{{- end }}
{{- end -}}
