{{- /* What the schema can not say, a line for each fault, with the value's name and never what it is. */ -}}
{{- define "scaivault.faults" -}}
{{- include "scaivault.faults.required" . }}
{{- include "scaivault.faults.kms" (dict "name" "kms" "kms" .Values.kms "config" .Values.config) }}
{{- if .Values.previousKms.provider }}
{{- include "scaivault.faults.kms" (dict "name" "previousKms" "kms" .Values.previousKms "config" .Values.config) }}
{{- else }}
{{- include "scaivault.faults.strangers" (dict "name" "previousKms" "kms" .Values.previousKms) }}
{{- end }}
{{- include "scaivault.faults.config" . }}
{{- include "scaivault.faults.pods" . }}
{{- include "scaivault.faults.resources" . }}
{{- include "scaivault.faults.volumes" . }}
{{- include "scaivault.faults.names" . }}
{{- include "scaivault.faults.access" . }}
{{- include "scaivault.faults.monitoring" . }}
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
{{- if and .kms.aws.endpointUrl (not (regexMatch (include "scaivault.webUrl" .) .kms.aws.endpointUrl)) }}
{{ .name }}.aws.endpointUrl must begin with https:// and name a host, without user and password.
{{- else if and (hasPrefix "http://" .kms.aws.endpointUrl) (ne .config.SCAIVAULT_ENV "development") }}
{{ .name }}.aws.endpointUrl must begin with https:// in production: keys travel over it.
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
{{- if and (or (hasSuffix "_URL" $name) (hasSuffix "_ENDPOINT" $name)) $value (not (regexMatch (include "scaivault.webUrl" .) $value)) }}
config.{{ $name }} must begin with https:// or http:// and name a host, without user and password.
{{- end }}
{{- end }}
{{- range $name := list "SCAIKEY_URL" "SCAIKEY_JWKS_URL" }}
{{- if and (ne $config.SCAIVAULT_ENV "development") (regexMatch "^http://" (index $config $name | default "")) (not (regexMatch (include "scaivault.loopbackUrl" .) (index $config $name))) }}
config.{{ $name }} must begin with https://, but for this machine itself and for development.
{{- end }}
{{- end }}
{{- with $config.IDENTITY_SYNC_INTERVAL }}
{{- $seconds := include "scaivault.seconds" . | int64 }}
{{- if or (lt $seconds 60) (gt $seconds 3153600000) }}
config.IDENTITY_SYNC_INTERVAL must be at least 1m and at most 36500d.
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
{{- end -}}

{{- /* Whether a budget lets a node be emptied at all, by (name, budget, pods). */ -}}
{{- define "scaivault.faults.budget" -}}
{{- if .budget.enabled }}
{{- if ne (toString .budget.minAvailable) "" }}
{{- if ge (include "scaivault.share" (dict "value" .budget.minAvailable "pods" .pods) | int64) (int64 .pods) }}
{{ .name }}.podDisruptionBudget.minAvailable must be below the number of pods, or no node can be emptied.
{{- end }}
{{- else if not (include "scaivault.share" (dict "value" .budget.maxUnavailable "pods" .pods) | int64) }}
{{ .name }}.podDisruptionBudget.maxUnavailable must not be 0, or no node can be emptied.
{{- end }}
{{- end }}
{{- end -}}

{{- define "scaivault.faults.resources" -}}
{{- range $name, $resources := dict "api" .Values.api.resources "worker" .Values.worker.resources "exporter" .Values.exporter.resources "migration" .Values.migration.resources }}
{{- range $kind, $limit := $resources.limits }}
{{- $request := index ($resources.requests | default dict) $kind | default 0 }}
{{- if gt (include "scaivault.quantity" $request | float64) (include "scaivault.quantity" $limit | float64) }}
{{ $name }}.resources.requests.{{ $kind }} is above {{ $name }}.resources.limits.{{ $kind }}.
{{- end }}
{{- end }}
{{- end }}
{{- /* docs/operations/sizing.md: 120 MB and 4 MiB of metrics for a process, and 50 MB for their master. */ -}}
{{- $needed := add (mul (int64 .Values.config.WEB_CONCURRENCY) 124194304) 50000000 }}
{{- with (.Values.api.resources.limits | default dict).memory }}
{{- if lt (include "scaivault.quantity" . | float64) (float64 $needed) }}
api.resources.limits.memory is less than config.WEB_CONCURRENCY processes need: {{ div (add $needed 1048575) 1048576 }}Mi.
{{- end }}
{{- end }}
{{- end -}}

{{- /* Every volume has a name of its own, and what is mounted is there, by root. */ -}}
{{- define "scaivault.faults.volumes" -}}
{{- $names := list "exporter-secrets" "tls" }}
{{- range include "scaivault.volumes" . | fromYamlArray }}
{{- $names = append $names .name }}
{{- end }}
{{- $extra := list }}
{{- range .Values.extraVolumes }}
{{- $extra = append $extra .name }}
{{- end }}
{{- range uniq $extra }}
{{- if gt (len $names) (add 1 (len (without $names .)) | int) }}
extraVolumes: {{ . }} is the name of another volume already.
{{- end }}
{{- end }}
{{- range .Values.extraVolumeMounts }}
{{- if not (has .name $extra) }}
extraVolumeMounts: {{ .name }} is not among extraVolumes.
{{- end }}
{{- end }}
{{- end -}}

{{- /* A name twice in one pod is taken by Kubernetes for one thing, or refused by it, by root. */ -}}
{{- define "scaivault.faults.names" -}}
{{- $containers := list "api" "exporter" "worker" "migration" "keys" }}
{{- range concat .Values.extraContainers .Values.extraInitContainers }}
{{- if has .name $containers }}
extraContainers, extraInitContainers: {{ .name }} is the name of another container already.
{{- end }}
{{- $containers = append $containers .name }}
{{- end }}
{{- $variables := list }}
{{- range concat .Values.extraEnv .Values.worker.extraEnv }}
{{- if has .name $variables }}
extraEnv, worker.extraEnv: {{ .name }} is given twice.
{{- end }}
{{- $variables = append $variables .name }}
{{- end }}
{{- end -}}

{{- define "scaivault.faults.access" -}}
{{- range $name := list "loadBalancerSourceRanges" "loadBalancerClass" }}
{{- if and (index $.Values.service $name) (ne $.Values.service.type "LoadBalancer") }}
service.{{ $name }} is for service.type=LoadBalancer.
{{- end }}
{{- end }}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
httpRoute.parentRefs must name a Gateway when httpRoute.enabled is set.
{{- end }}
{{- if or .Values.ingress.enabled .Values.httpRoute.enabled }}
{{- if not (regexMatch "^(https?://[^/?#]+/*)?$" .Values.config.BASE_URL) }}
config.BASE_URL must have no path when ingress.enabled or httpRoute.enabled is set: they are for all of the host, and rewrite nothing.
{{- end }}
{{- if regexMatch "^https?://([0-9.]+([:/?#]|$)|[[])" .Values.config.BASE_URL }}
config.BASE_URL must name a host, not an address, when ingress.enabled or httpRoute.enabled is set.
{{- end }}
{{- end }}
{{- if and .Values.ingress.tlsSecret (not .Values.ingress.enabled) }}
ingress.tlsSecret is set, and ingress.enabled is not.
{{- end }}
{{- end -}}

{{- define "scaivault.faults.monitoring" -}}
{{- with .Values.monitoring.podMonitors }}
{{- $interval := include "scaivault.milliseconds" .interval | int64 }}
{{- $timeout := include "scaivault.milliseconds" .scrapeTimeout | int64 }}
{{- if not (and $interval $timeout) }}
monitoring.podMonitors.interval and monitoring.podMonitors.scrapeTimeout must not be 0.
{{- else if gt $timeout $interval }}
monitoring.podMonitors.scrapeTimeout is above monitoring.podMonitors.interval.
{{- end }}
{{- end }}
{{- end -}}

{{- /* As settings.py reads a web address. */ -}}
{{- define "scaivault.webUrl" -}}
^https?://([\pL\pN_][\pL\pN_.-]*|\[[0-9A-Fa-f:.]+\])(:(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3}))?([/?#]\S*)?$
{{- end -}}

{{- define "scaivault.loopbackUrl" -}}
^http://(localhost|127(\.[0-9]{1,3}){3}|\[::1\])([:/?#]|$)
{{- end -}}
