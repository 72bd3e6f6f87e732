#!/bin/sh
# Store what a user did just now, and read it back.
#
#     sh examples/curl.sh
#
# LOGSTORE_URL: where the store is. LOGSTORE_KEY: an API key, where the store asks for one.
set -eu
url=${LOGSTORE_URL:-http://127.0.0.1:8000}/logs/
user=shell-$$

# Only with a key: set -- keeps the header as one word.
if [ -n "${LOGSTORE_KEY:-}" ]; then set -- -H "Authorization: Bearer $LOGSTORE_KEY"; else set --; fi

# The store's times are those of the zone -06:00. In TZ the sign is the other way round: POSIX counts westward.
now=$(TZ=UTC+6 date +%Y-%m-%dT%H:%M:%S-06:00)

# --fail-with-body: an error ends this script, and its JSON is shown. Whoever repeats a request sends the same
# Idempotency-Key again, here by --retry: then the batch is stored once, however often it arrives.
curl --silent --show-error --fail-with-body --retry 5 "$@" "$url" \
	-H 'Content-Type: application/json' -H "Idempotency-Key: $(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')" -d '
[{"userId": "'"$user"'", "sessionId": "1", "actions": [
  {"time": "'"$now"'", "type": "CLICK", "properties": {"locationX": 52, "locationY": 11}},
  {"time": "'"$now"'", "type": "VIEW",  "properties": {"viewedId": "FDJKLHSLD"}}]}]'
echo

# --data-urlencode, because ids and times hold characters that mean something else in a URL.
curl --silent --show-error --fail-with-body "$@" --get "$url" \
	--data-urlencode "userId=$user" --data-urlencode "from=$now" --data-urlencode 'types=CLICK,VIEW'
echo
