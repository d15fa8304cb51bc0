#!/bin/sh
# Replaces the replicas behind the proxy one at a time by new ones with the current image and settings.
#
#   deploy/rolling-restart.sh
#
# Meanwhile there is one replica more, never one less. If a new one is not ready within WAIT_S seconds, it is removed, and the
# remaining old ones stay.
set -eu
cd "$(dirname "$0")/.."
wait_s=${WAIT_S:-120}

if docker compose version >/dev/null 2>&1; then compose="docker compose"; else compose=docker-compose; fi
replicas() { $compose --profile scale ps -q app; }
is_ready() {
  docker exec "$1" python -c "import urllib.request as u
u.build_opener(u.ProxyHandler({})).open('http://localhost:8000/health/ready', timeout=2)" >/dev/null 2>&1
}

old=$(replicas)
[ -n "$old" ] || { echo "there are no replicas; start some with docker compose --profile scale up" >&2; exit 1; }
count=$(echo "$old" | wc -l)

for replica in $old; do
  before=$(replicas)
  $compose --profile scale up -d --no-deps --no-recreate --no-build --scale "app=$((count + 1))" app
  new=
  for id in $(replicas); do
    case $before in *"$id"*) ;; *) new=$id ;; esac
  done
  [ -n "$new" ] || { echo "no new replica was started" >&2; exit 1; }
  waited=0
  until is_ready "$new"; do
    if [ "$waited" -ge "$wait_s" ]; then
      echo "the new replica is not ready after $wait_s s; its last log lines are:" >&2
      docker logs --tail 20 "$new" >&2
      docker rm -f "$new" >/dev/null
      exit 1
    fi
    sleep 1
    waited=$((waited + 1))
  done
  sleep 2  # the proxy looks for new replicas and checks their readiness every second
  docker stop "$replica" >/dev/null  # finishes the requests in progress
  docker rm "$replica" >/dev/null
done
