{{/*
The name of everything that a release consists of. A release may be called 1 or a.b, a Service may not: it begins with
a letter and has no dots.

Wherever one of these templates or a value becomes a scalar it is quoted: 1, true and 0x1f are names too. A section that
may be null is read as (.Values.section).key, which is empty then; values.schema.json requires the others.
*/}}
{{- define "operator.name" -}}
{{- $release := .Release.Name | replace "." "-" -}}
{{- $name := printf "%s-%s" $release .Chart.Name -}}
{{- if not (regexMatch "^[a-z]" $release) -}}
{{- $name = printf "%s-%s" .Chart.Name $release -}}
{{- else if contains .Chart.Name $release -}}
{{- $name = $release -}}
{{- end -}}
{{- $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* Things without a namespace are named after the release's namespace too: releases may share a name. */}}
{{- define "operator.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "operator.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "operator.serviceAccount" -}}
{{- default (include "operator.name" .) (.Values.serviceAccount).name -}}
{{- end -}}

{{/* What a pod is selected by; never changes. */}}
{{- define "operator.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "operator.labels" -}}
{{ include "operator.selector" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: sageapi
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- end -}}

{{/* The reference of an image: a list of the image's values and the root. */}}
{{- define "operator.image" -}}
{{- $image := index . 0 -}}
{{- $root := index . 1 -}}
{{- $repository := $image.repository -}}
{{- with ($root.Values.global).imageRegistry -}}
{{- $repository = printf "%s/%s" . (regexReplaceAll "^[^/]*[.:][^/]*/" $repository "") -}}
{{- end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default $root.Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Pods of this chart run with few privileges. */}}
{{- define "operator.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "operator.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Rights in the namespaces where SageApis are: those that follow from the table in operator/src/kinds.rs. */}}
{{- define "operator.rules" -}}
- apiGroups: [sageapi.io]
  resources: [sageapis]
  verbs: [list, watch]
- apiGroups: [sageapi.io]
  resources: [sageapis/status]
  verbs: [patch]
# Children block their owner's deletion; where OwnerReferencesPermissionEnforcement is on, that needs this.
- apiGroups: [sageapi.io]
  resources: [sageapis/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, {{ if eq .Values.secrets.access "watch" }}list, watch, {{ end }}create, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [serviceaccounts, services]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch]
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [list, watch]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
