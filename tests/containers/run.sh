#!/usr/bin/env bash
# The whole stack in real containers, with the rehearsal server as the provider: a line for each promise, and exit
# code 1 if one falls. Takes about five minutes; needs docker and docker compose v2. Not a part of `make test`.
#
#   tests/containers/run.sh            KEEP=1 leaves the stack running, CHARTS_COUNT=n takes another number of charts
set -uo pipefail
cd "$(dirname "$0")/../.."

COUNT=${CHARTS_COUNT:-1000}
WORK=$(mktemp -d)
export COMPOSE_PROJECT_NAME=chartq-test CHARTQ_IMAGE=${CHARTQ_IMAGE:-chartq:test} COMPOSE_PROFILES=rehearsal,metrics
export CHARTS=$WORK/charts HF_TOKEN_FILE=$WORK/token HF_TOKEN='' METRICS_PORT=${METRICS_PORT:-19400} API_PORT=${API_PORT:-18000}
export CHARTQ_REHEARSAL=1 HF_BASE_URL='' REHEARSAL_LATENCY=3 REHEARSAL_BUDGET=240/20s HF_RATE_LIMIT=240/20s
export VISION_MODEL=org/rehearsed CONCURRENCY=16 HEALTH_MAX_AGE=10 HEALTH_INTERVAL=5s LOG_FORMAT=json
TOKEN=hf_container_test_secret

failed=0 began=$SECONDS
say() { printf '[%4ds] %s\n' $((SECONDS - began)) "$*"; }
promise() { # promise TEXT COMMAND...: the command's output follows the line if it falls
    local text=$1 said; shift
    if said=$("$@" 2>&1); then say "ok    $text"; else say "FAIL  $text"; sed 's/^/        /' <<<"$said" | tail -15; failed=1; fi
}
within() { # within SECONDS COMMAND...: again and again until it is true
    local until=$((SECONDS + $1)); shift
    until "$@" >/dev/null 2>&1; do ((SECONDS < until)) || { "$@"; return 1; }; sleep 1; done
}
no() { ! "$@"; }
chartq() { docker compose run --rm -T chartq "$@" 2>>"$WORK/chartq.err"; }
json() { python3 -c "import json, sys; d = json.load(sys.stdin); print($1)"; }
workers() { docker compose ps -q worker; }
worker() { echo "$COMPOSE_PROJECT_NAME-worker-$1"; }
state() { docker inspect -f '{{.State.Health.Status}}' "$1"; }
is() { local found; found=$("${@:2}") && [ "$found" = "$1" ] || { echo "expected $1, found $found"; return 1; }; }
seen() { # what the rehearsal server saw: an expression over `calls`
    docker compose exec -T rehearsal python -c "
import json, urllib.request
calls = json.load(urllib.request.urlopen('http://127.0.0.1:8080/rehearsal/record'))['calls']
print($1)"
}
finished() { chartq status "$batch" --json | json 'd["request_counts"]["finished"]'; }
at_least() { local found; found=$(finished) && ((found >= $1)); }
clean_up() {
    [ -n "${KEEP:-}" ] && { say "left running: docker compose -p $COMPOSE_PROJECT_NAME ps; charts in $WORK"; return; }
    docker compose --profile '*' down -v --remove-orphans -t 5 >/dev/null 2>&1
    rm -rf "$WORK"
}
trap clean_up EXIT

# Image --------------------------------------------------------------------------------------------------
image() { docker run --rm --read-only --tmpfs /tmp --cap-drop ALL --entrypoint "$1" "$CHARTQ_IMAGE" "${@:2}"; }
has_no_tools() { image sh -c 'for t in gcc cc make git hatchling; do ! command -v $t || exit 1; done; ! ls /opt/chartq/bin/pip*'; }

promise "docker compose config is clean" docker compose --profile '*' config -q
promise "the image is built" docker compose build worker
docker image inspect "$CHARTQ_IMAGE" >/dev/null 2>&1 || exit 1
say "      image: $(docker image inspect -f '{{.Size}}' "$CHARTQ_IMAGE" | awk '{printf "%.0f MB", $1 / 1e6}'), of it chartq and its libraries: $(image du -sm /opt/chartq | cut -f1) MB"
promise "it runs as a user, on a read-only root" is 10001 image id -u
promise "no build tools are in it" has_no_tools
# FastAPI brings opentelemetry's interface, which does nothing without one of these.
promise "what it installed fits together, and nothing watches along (opentelemetry)" image python -c '
import importlib.metadata as m
assert not [d.name for d in m.distributions() if d.name.lower().startswith("opentelemetry-") and d.name.lower() != "opentelemetry-api"]'

# Charts, token ------------------------------------------------------------------------------------------
mkdir -p "$CHARTS/sub" && chmod -R 777 "$WORK" && printf '%s\n' "$TOKEN" >"$HF_TOKEN_FILE" && chmod 644 "$HF_TOKEN_FILE"
docker run --rm -v "$CHARTS:/out" --entrypoint python "$CHARTQ_IMAGE" -c "
from PIL import Image, ImageDraw
for number in range($COUNT):
    chart = Image.new('RGB', (640, 400), 'white')
    ImageDraw.Draw(chart).line([(x * 64, 200 + (number * 37 + x * x * 53) % 150) for x in range(11)], fill='black', width=3)
    ImageDraw.Draw(chart).text((5, 5), f'chart {number}', fill='black')
    chart.save(f'/out/{\"sub/\" if number % 2 else \"\"}chart-{number:04}.png')" || exit 1

# Start --------------------------------------------------------------------------------------------------
up_at=$SECONDS
promise "the stack starts: redis, postgres, rehearsal, metrics, api, 3 workers" docker compose up -d --wait --wait-timeout 120 --scale worker=3
say "      healthy after $((SECONDS - up_at)) s"
three_are_healthy() { local id count=0; for id in $(workers); do [ "$(state "$id")" = healthy ] && count=$((count + 1)); done; ((count == 3)); }
promise "three workers are healthy" within 60 three_are_healthy
ports() { docker ps --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" --format '{{.Ports}}' | tr ',' '\n' | grep -- '->' ; }
promise "ports are open on 127.0.0.1 only" no grep -qv '^ *127\.0\.0\.1:' <(ports)

# Work ---------------------------------------------------------------------------------------------------
batch=$(chartq submit /charts -p "Up or down?" -q | tr -d '\r')
promise "the one-off service submits $COUNT charts: ${batch:-no batch}" is "$COUNT" eval 'chartq status "$batch" --json | json "d[\"request_counts\"][\"total\"]"'
promise "work begins" within 60 at_least 30

scrape() { docker compose exec -T rehearsal python -c "
import sys, urllib.request
text = urllib.request.urlopen('http://worker:9400/metrics', timeout=5).read().decode()
sys.exit([name for name in sys.argv[1:] if not any(line.startswith(name) for line in text.splitlines())] or 0)" "$@"; }
promise "a worker serves its metrics inside" scrape 'chartq_calls_total{model="org/rehearsed",outcome="done",status="200"}' \
    chartq_call_duration_seconds_bucket chartq_tokens_total chartq_queue_wait_seconds_count 'chartq_in_flight{' 'rq_jobs{' \
    'chartq_gate_permits_left{' 'chartq_gate_state{' chartq_jobs_runnable 'rq_workers{'
shared() { curl -sf "http://127.0.0.1:$METRICS_PORT/metrics" | grep -q "$1"; }
promise "the exporter serves what they share, on this machine" shared '^rq_jobs{queue="chat:org/rehearsed",status="queued"}'

busy() { docker exec "$1" python -c "
import sys, urllib.request
lines = urllib.request.urlopen('http://127.0.0.1:9400/metrics', timeout=5).read().decode().splitlines()
sys.exit(not any(line.startswith('chartq_in_flight{') and float(line.split()[-1]) >= 4 for line in lines))"; }
killed=$(worker 1)
promise "a worker has calls in flight" within 60 busy "$killed"
promise "it is killed (SIGKILL)" docker kill "$killed"
before=$(finished)
promise "the others go on" within 30 at_least $((before + 30))
docker start "$killed" >/dev/null

gentle=$(worker 2)
promise "another one has" within 60 busy "$gentle"
stop_at=$SECONDS
promise "it is stopped gently" docker stop "$gentle"
promise "it ended by itself within its grace (exit code 0, $((SECONDS - stop_at)) s)" is 0 docker inspect -f '{{.State.ExitCode}}' "$gentle"
promise "and said goodbye" eval 'docker logs "$gentle" 2>&1 | grep -q "worker .* stopped"'
docker start "$gentle" >/dev/null

promise "redis is restarted in mid-run" docker compose restart redis
before=$(finished)
promise "the workers go on by themselves" within 60 at_least $((before + 30))

hung=$(worker 3)
signal() { docker exec "$hung" sh -c 'for p in /proc/[0-9]*; do grep -qz "^worker$" $p/cmdline && kill '"$1"' ${p#/proc/}; done; :' ; }
promise "the third has" within 60 busy "$hung"
promise "it is frozen (SIGSTOP)" signal -STOP
promise "it becomes unhealthy" within 60 is unhealthy state "$hung"
promise "the batch ends all the same" chartq wait "$batch" --timeout 240
promise "thawed it is healthy again" eval 'signal -CONT; within 60 is healthy state "$hung"'

# Over HTTP ----------------------------------------------------------------------------------------------
api() { echo "$COMPOSE_PROJECT_NAME-api-1"; }
http() { curl -sf -m 20 -H "Authorization: Bearer $key" "http://127.0.0.1:$API_PORT$1" "${@:2}"; }
http_status() { http "/batches/$uploaded" | json "$1"; }
answers_by_http() { http "/batches/$uploaded/results?format=jsonl&status=finished" | python3 -c "
import json, sys
print(len({json.loads(line)['custom_id'] for line in sys.stdin}))"; }
uploads() { local number; for number in 0000 0002 0004 0006 0008 0010 0012 0014 0016 0018 0020 0022 0024 0026 0028 0030; do
    printf -- '-F\nfiles=@%s/chart-%s.png\n' "$CHARTS" "$number"; done; }
promise "without a key nobody is let in" is 401 curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$API_PORT/batches"
key=$(chartq keys create ann | tr -d '\r')
seen_before=$(seen 'len(calls)')
mapfile -t forms < <(uploads)
uploaded=$(http /batches -F prompt='Is it HTTP?' "${forms[@]}" | json 'd["batch_id"]')
promise "with one, charts are uploaded: ${uploaded:-no batch}" [ -n "$uploaded" ]
promise "the api is killed in the middle (SIGKILL)" docker kill "$(api)"
docker start "$(api)" >/dev/null
promise "it comes back" within 60 http /health
promise "and tells how the batch ended" within 120 is completed http_status 'd["status"]'
promise "nothing is lost: 16 answers" is 16 answers_by_http
promise "and nothing was asked twice" is $((seen_before + 16)) seen 'len(calls)'

# What came of it ----------------------------------------------------------------------------------------
results() { chartq results "$batch" --status finished; }
count_lines() { "$@" | wc -l | tr -d ' '; }
promise "all $COUNT are answered" is "$COUNT" count_lines results
promise "each with one attempt" is "1" eval 'results | python3 -c "import json, sys; print(*sorted({json.loads(row)[\"attempts\"] for row in sys.stdin}))"'
# Those by HTTP are not of this batch.
calls=$(($(seen "len(calls)") - 16)) asked=$(seen 'len({call["image_sha256"] for call in calls})')
promise "every chart was asked about ($asked of $COUNT)" [ "$asked" = "$COUNT" ]
promise "again only for replies lost with a killed or frozen worker: $((calls - COUNT)) of at most 32" [ "$calls" -le $((COUNT + 32)) ]
promise "3 workers share one budget ($HF_RATE_LIMIT): none of $calls calls was refused" is 0 seen 'sum(call["status"] == 429 for call in calls)'
most=$(seen 'max(sum(0 <= later["at"] - earlier["at"] <= 20 for later in calls) for earlier in calls)')
promise "never more than 240 calls in any 20 s: $most at most" [ "$most" -le 240 ]
promise "the token reached the provider" is 1 seen 'len({call["token_fingerprint"] for call in calls if call["token_fingerprint"]})'
promise "and is in no container's configuration or log" no eval \
    '{ docker inspect $(docker compose ps -aq); docker compose logs --no-color; } 2>&1 | grep -q "$TOKEN"'
log_line() { docker compose logs --no-color --no-log-prefix worker | python3 -c "
import json, sys
rows = [json.loads(line) for line in sys.stdin if line.startswith('{')]
done = [row for row in rows if row['event'] == 'job done']
assert done and all({'job_id', 'batch_id', 'model', 'ts'} <= row.keys() for row in done), done[:3]"; }
promise "logs are JSON that name job, batch and model" log_line

results | sort >"$WORK/before"
promise "the stack goes down" docker compose down
promise "and comes up" docker compose up -d --wait --wait-timeout 120 --scale worker=3
results | sort >"$WORK/after"
promise "with all its answers" eval 'cmp "$WORK/before" "$WORK/after" && [ -s "$WORK/after" ]'
again=$(chartq submit /charts -p "Up or down?" --json | json 'd["cached"]')
promise "the same question is answered already" [ "$again" = "$COUNT" ]
promise "and nobody is called" is 0 seen 'len(calls)'

((failed)) && say "a promise fell; one-off commands said:" && tail -5 "$WORK/chartq.err"
exit $failed
