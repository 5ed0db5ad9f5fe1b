{{- /* What Kubernetes means by a quantity (`500m`, `1Gi`, 2), as a number. */ -}}
{{- define "scaivault.quantity" -}}
{{- $sizes := dict "" 1 "m" 0.001 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 }}
{{- $text := include "scaivault.text" . }}
{{- $number := regexFind "^[0-9.]+" $text }}
{{- printf "%f" (mulf (float64 $number) (float64 (index $sizes (trimPrefix $number $text)))) -}}
{{- end -}}

{{- /* What Prometheus means by a duration (`1m30s`), in milliseconds. */ -}}
{{- define "scaivault.milliseconds" -}}
{{- $sum := 0 }}
{{- range $part := regexFindAll "[0-9]+(ms|s|m|h)" . -1 }}
{{- $number := regexFind "^[0-9]+" $part }}
{{- $sum = add $sum (mul (atoi $number) (index (dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000) (trimPrefix $number $part))) }}
{{- end }}
{{- $sum -}}
{{- end -}}

{{- /* What the vault means by a duration (`6h`), in seconds. */ -}}
{{- define "scaivault.seconds" -}}
{{- $number := regexFind "^[0-9]+" . }}
{{- mul (atoi $number) (index (dict "s" 1 "m" 60 "h" 3600 "d" 86400) (trimPrefix $number .)) -}}
{{- end -}}

{{- /* So many of `pods` are meant by `value`, a number or a share; shares are rounded up, as Kubernetes does. */ -}}
{{- define "scaivault.share" -}}
{{- $text := include "scaivault.text" .value }}
{{- if hasSuffix "%" $text -}}
{{- div (add (mul (int64 .pods) (atoi (trimSuffix "%" $text))) 99) 100 -}}
{{- else -}}
{{- $text -}}
{{- end -}}
{{- end -}}
