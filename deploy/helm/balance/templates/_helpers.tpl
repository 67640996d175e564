{{- define "balance.name" -}}
{{- if contains "balance" .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-balance{{ end }}
{{- end }}

{{- define "balance.selector" -}}
app.kubernetes.io/name: balance
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "balance.labels" -}}
{{ include "balance.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "balance.isSqlite" -}}
{{- if not (has .Values.store (list "postgres" "sqlite")) }}{{ fail "store is postgres or sqlite" }}{{ end }}
{{- if eq .Values.store "sqlite" }}true{{ end }}
{{- end }}

{{/* What the pods of the service and of the migration share. */}}
{{- define "balance.podDefaults" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
nodeSelector: {{ toJson .Values.nodeSelector }}
tolerations: {{ toJson .Values.tolerations }}
{{- end }}

{{- define "balance.containerDefaults" -}}
image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
resources: {{ toJson .Values.resources }}
{{- end }}

{{- define "balance.pod" -}}
metadata:
  labels: {{- include "balance.labels" . | nindent 4 }}
  annotations: {{ toJson .Values.podAnnotations }}
spec:
  {{- include "balance.podDefaults" . | nindent 2 }}
  terminationGracePeriodSeconds: {{ add .Values.drainSeconds .Values.shutdownSeconds 5 }}
  {{- if not (include "balance.isSqlite" .) }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "balance.selector" . | nindent 10 }}
  {{- end }}
  containers:
    - name: balance
      {{- include "balance.containerDefaults" . | nindent 6 }}
      args: [serve]
      env:
        - { name: BALANCE_LISTEN, value: "0.0.0.0:8080" }
        - { name: BALANCE_BEHIND_PROXY, value: "true" }
        - { name: BALANCE_LOG_FORMAT, value: json }
        - { name: BALANCE_LOG_FILE__FOLDER, value: "off" }
        - { name: BALANCE_REPORT_FOLDER, value: /var/lib/balance/reports }
        - { name: BALANCE_DRAIN_SECONDS, value: {{ .Values.drainSeconds | quote }} }
        - { name: BALANCE_SHUTDOWN_SECONDS, value: {{ .Values.shutdownSeconds | quote }} }
        - name: BALANCE_ADMIN_KEY
          valueFrom: { secretKeyRef: { name: {{ .Values.secretName }}, key: admin_key, optional: true } }
        {{- if include "balance.isSqlite" . }}
        - { name: BALANCE_DATABASE_URL, value: "sqlite:/var/lib/balance/balance.db" }
        {{- else }}
        - { name: BALANCE_DATABASE_URL_FILE, value: /run/secrets/balance/database_url }
        - { name: BALANCE_MIGRATE_ON_START, value: "false" }
        {{- end }}
        {{- range $name, $value := .Values.settings }}
        - { name: {{ $name }}, value: {{ $value | quote }} }
        {{- end }}
      ports:
        - { name: http, containerPort: 8080 }
      startupProbe: { httpGet: { path: /health/live, port: http }, periodSeconds: 1, failureThreshold: 60 }
      livenessProbe: { httpGet: { path: /health/live, port: http }, periodSeconds: 10, timeoutSeconds: 5 }
      readinessProbe: { httpGet: { path: /health/ready, port: http }, periodSeconds: 2, timeoutSeconds: 2, failureThreshold: 1 }
      volumeMounts:
        - { name: data, mountPath: /var/lib/balance }
        {{- if not (include "balance.isSqlite" .) }}
        - { name: secrets, mountPath: /run/secrets/balance, readOnly: true }
        {{- end }}
  {{- if not (include "balance.isSqlite" .) }}
  volumes:
    # Reports alone: they are in the database too.
    - { name: data, emptyDir: { sizeLimit: 1Gi } }
    - name: secrets
      secret: { secretName: {{ .Values.secretName }}, items: [{ key: database_url, path: database_url }] }
  {{- end }}
{{- end }}
