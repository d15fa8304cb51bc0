#!/bin/sh
# Replaces the replicas behind the proxy, one after another, by new ones: with the image and the settings as they are now.
#
#   deploy/rolling-restart.sh
#
# There is one more of them meanwhile, never one less. The first that is not ready within WAIT_S seconds is taken away again,
# and the rest of the old ones stay.
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
[ -n "$old" ] || { echo "there are no replicas; docker compose --profile scale up starts some" >&2; exit 1; }
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
      echo "the new replica is not ready after $wait_s s; these are its last words:" >&2
      docker logs --tail 20 "$new" >&2
      docker rm -f "$new" >/dev/null
      exit 1
    fi
    sleep 1
    waited=$((waited + 1))
  done
  sleep 2  # the proxy looks for new ones every second, and asks them whether they are ready
  docker stop "$replica" >/dev/null  # what is under way is finished
  docker rm "$replica" >/dev/null
done
