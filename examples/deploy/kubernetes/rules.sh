#!/usr/bin/env bash
# Prints the recording rules and alerts of examples/monitoring as resources of the Prometheus operator.
set -euo pipefail
cd "$(dirname "$0")/../../monitoring"
for file in recording alerts; do
    printf -- '---\napiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\n'
    printf 'metadata:\n  name: mistralrs-rsd-%s\n  namespace: mistralrs-rsd\nspec:\n' "$file"
    sed 's/^/  /' "$file.yml"
done
