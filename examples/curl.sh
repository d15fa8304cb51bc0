#!/bin/sh
# Asks with curl 7.76 or newer whether there is a cat in a photo, and prints the service's answer, a JSON object:
#
#   examples/curl.sh [PHOTO [URL [KEY]]]
#
# `--retry` comes again when the service is busy (503) or has heard too much from us (429), after as many seconds as the
# header Retry-After says. What the service cannot answer ends with 1, and the problem on the error stream.
set -eu
photo=${1:-$(dirname "$0")/chelsea.png}
url=${2:-http://localhost:8000}
key=${3:-}

answer=$(mktemp)  # a file, which curl empties before it comes again
trap 'rm -f "$answer"' EXIT
if curl --silent --show-error --fail-with-body --retry 5 --output "$answer" \
  ${key:+--header "X-API-Key: $key"} --form "file=@\"$photo\"" "$url/predict?feature_maps=none"; then
  cat "$answer"
  echo
else
  cat "$answer" >&2
  exit 1
fi
