#!/bin/sh
# Sends the message in $LINE_MESSAGE, a request of LINE's broadcast endpoint, by the
# token that all scripts of this user share in $LINE_STORE.
set -eu
answer=$(mktemp /tmp/lineoauth-cron.XXXXXX)
trap 'rm -f "$answer"' EXIT
# With the same key, LINE sends no message twice.
key=$(cat /proc/sys/kernel/random/uuid)
broadcast() {
	echo "$auth" | curl --silent --show-error --max-time 60 --output "$answer" --write-out '%{http_code}' \
		-H @- -H "X-Line-Retry-Key: $key" -H 'Content-Type: application/json' --data-binary "@$LINE_MESSAGE" \
		"${LINE_OAUTH_BASE_URL:-https://api.line.me}/v2/bot/message/broadcast"
}
auth=$(lineoauth token --type v2.1 --store "$LINE_STORE" -o header)
status=$(broadcast)
if [ "$status" = 401 ]; then
	auth=$(lineoauth token --type v2.1 --store "$LINE_STORE" -o header --refresh)
	status=$(broadcast)
fi
if [ "$status" != 200 ]; then
	echo "LINE answered $status: $(head -c 300 "$answer")" >&2 # cron mails it
	exit 1
fi
