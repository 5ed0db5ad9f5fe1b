{{- /* What the restricted Pod Security Standard asks of a pod, and what the vault does not want to know. */ -}}
{{- define "scaivault.pod" -}}
automountServiceAccountToken: false
# A Service called `kms` would be taken for settings that are misspelt.
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  {{- range $name, $id := .Values.podSecurityContext }}
  {{- if $id }}
  {{ $name }}: {{ int64 $id }}
  {{- end }}
  {{- end }}
  {{- if .Values.podSecurityContext.fsGroup }}
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- /* Where pods of a kind are, by (root, component, values). */ -}}
{{- define "scaivault.placement" -}}
topologySpreadConstraints:
  {{- range .root.Values.topologySpread.keys }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: {{ $.root.Values.topologySpread.whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "scaivault.selector" $ | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- include "scaivault.nodes" .values }}
{{- end -}}

{{- /* What nodes a pod may be on, by the values of its component. */ -}}
{{- define "scaivault.nodes" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* The image and what it may do. */ -}}
{{- define "scaivault.container" -}}
image: {{ include "scaivault.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities:
    drop: [ALL]
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- /* A probe's question, by (path, port). */ -}}
{{- define "scaivault.ask" -}}
httpGet:
  path: {{ .path }}
  port: {{ .port }}
{{- end -}}

{{- /* Liveness asks for nothing that is not the process's own: a database that is away is no reason to restart. */ -}}
{{- define "scaivault.livenessProbes" -}}
startupProbe:
  {{- include "scaivault.ask" . | nindent 2 }}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 60
livenessProbe:
  {{- include "scaivault.ask" . | nindent 2 }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
{{- end -}}

{{- /* Noticed within 2 seconds, which is less than a pod that ends serves on (docs/operations/draining.md). */ -}}
{{- define "scaivault.readinessProbe" -}}
readinessProbe:
  {{- include "scaivault.ask" . | nindent 2 }}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 2
{{- end -}}
