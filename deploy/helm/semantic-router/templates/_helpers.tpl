{{- define "router.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The release's own name where that says what it is. 12 characters are left for suffixes. */}}
{{- define "router.fullname" -}}
{{- $name := include "router.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 51 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 51 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 51 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "router.selector" -}}
app.kubernetes.io/name: semantic-router
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "router.labels" -}}
{{ include "router.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{- end -}}

{{- define "router.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "router.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "router.image" -}}
{{- $repository := .Values.image.repository -}}
{{- if .Values.image.registry -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .Values.image.registry) $repository -}}
{{- end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* configOverride alone where it is given, else config: never a mixture of the two. */}}
{{- define "router.config" -}}
{{- if .Values.configOverride -}}
{{- toYaml .Values.configOverride -}}
{{- else -}}
{{- toYaml .Values.config -}}
{{- end -}}
{{- end -}}

{{- define "router.claim" -}}
{{- default (printf "%s-models" (include "router.fullname" .)) .Values.persistence.existingClaim -}}
{{- end -}}

{{/* What cannot work is refused here, with the way out. */}}
{{- define "router.check" -}}
{{- $several := or .Values.autoscaling.enabled (gt (int .Values.replicaCount) 1) -}}
{{- with .Values.autoscaling -}}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) -}}
{{- fail (printf "autoscaling.minReplicas (%d) must be at most autoscaling.maxReplicas (%d)" (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- if and .enabled (not .targetCPUUtilizationPercentage) (not .targetMemoryUtilizationPercentage) -}}
{{- fail "autoscaling has nothing to go by: set autoscaling.targetCPUUtilizationPercentage or autoscaling.targetMemoryUtilizationPercentage" -}}
{{- end -}}
{{- end -}}
{{- $claim := and .Values.persistence.enabled (not .Values.persistence.existingClaim) -}}
{{- if and $claim $several (hasPrefix "ReadWriteOnce" .Values.persistence.accessMode) -}}
{{- fail "several replicas cannot share a volume that is ReadWriteOnce: set persistence.accessMode=ReadWriteMany, or persistence.enabled=false" -}}
{{- end -}}
{{- $learning := (include "router.config" . | fromYaml).learning -}}
{{- $local := and $learning (not $learning.store) (ne (toString $learning.enabled) "false") -}}
{{- if and $several $local .Values.safetyGuards.rejectMultiReplicaLocalLearningState -}}
{{- fail "config.learning has no store, so each replica would learn for itself: name one in config.learning.store, or set replicaCount=1 and autoscaling.enabled=false, or safetyGuards.rejectMultiReplicaLocalLearningState=false" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.enabled needs ingress.hosts" -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.enabled needs httpRoute.parentRefs" -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (ne .Values.mode "serve") -}}
{{- fail "httpRoute needs mode=serve: in mode extproc the router takes no requests itself" -}}
{{- end -}}
{{- end -}}
