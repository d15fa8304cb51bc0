#!/bin/sh
# Sends a photo with curl 7.76 or newer and prints the service's answer, a JSON object:
#
#   examples/curl.sh [PHOTO [URL [KEY]]]
#
# `--retry` tries again when the service is overloaded (503) or this client sends too much (429), after the seconds in the
# header Retry-After. If there is no answer, prints the problem to standard error and exits with 1.
set -eu
photo=${1:-$(dirname "$0")/chelsea.png}
url=${2:-http://localhost:8000}
key=${3:-}

answer=$(mktemp)  # a file, because curl truncates it before each retry
trap 'rm -f "$answer"' EXIT
if curl --silent --show-error --fail-with-body --retry 5 --output "$answer" \
  ${key:+--header "X-API-Key: $key"} --form "file=@\"$photo\"" "$url/predict?feature_maps=none"; then
  cat "$answer"
  echo
else
  cat "$answer" >&2
  exit 1
fi
