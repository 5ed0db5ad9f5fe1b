{{- define "scaivault.policy.ports" -}}
ports:
  {{- range .ports }}
  - protocol: {{ $.protocol | default "TCP" }}
    port: {{ int64 . }}
  {{- end }}
{{- end -}}

{{- define "scaivault.policy.from" -}}
- {{ include "scaivault.policy.ports" . | nindent 2 | trim }}
  {{- with .peers }}
  from:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "scaivault.policy.to" -}}
- {{ include "scaivault.policy.ports" . | nindent 2 | trim }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "scaivault.policy.dns" -}}
{{ include "scaivault.policy.to" (dict "to" .to "ports" .ports "protocol" "UDP") }}
{{ include "scaivault.policy.to" (dict "to" .to "ports" .ports "protocol" "TCP") }}
{{- end -}}

{{- /* Where API and worker may go, by root. */ -}}
{{- define "scaivault.policy.egress" -}}
{{- with .Values.networkPolicy.egress -}}
{{ include "scaivault.policy.dns" .dns }}
{{ include "scaivault.policy.to" .database }}
{{ include "scaivault.policy.to" .redis }}
{{ include "scaivault.policy.to" .web }}
{{- if or (eq $.Values.kms.provider "aws") (eq $.Values.previousKms.provider "aws") }}
{{ include "scaivault.policy.to" .kms }}
{{- end }}
{{- if $.Values.config.OTEL_EXPORTER_OTLP_ENDPOINT }}
{{ include "scaivault.policy.to" .otlp }}
{{- end }}
{{- with .extra }}
{{ toYaml . }}
{{- end }}
{{- end -}}
{{- end -}}
