#!/usr/bin/env bash
# The life of some money with curl: topped up, reserved for an order, captured in part, refunded in part, explained,
# reported.
#
#     docs/examples/curl.sh [URL] [API_KEY]
#
# URL is http://127.0.0.1:8080 if left out, the key can also be in BALANCE_API_KEY. Exits non-zero if anything is not
# as expected. Copy `call`; needs bash and curl.
set -euo pipefail

url=${1:-http://127.0.0.1:8080}
api_key=${2:-${BALANCE_API_KEY:-}}
answer=$(mktemp -d)
trap 'rm -rf "$answer"' EXIT
# Not as an argument of curl, where every process of this machine could read it.
printf '%s' "${api_key:+header = \"Authorization: Bearer $api_key\"}" >"$answer/authorization"

# call METHOD PATH [BODY [KEY]]: prints the body of the answer; its status is in $answer/status, its headers in
# $answer/headers. Fails when the service says no (the body is then a problem), or does not answer within a minute.
#
# A timeout, a cut connection, an overloaded service, an unknown outcome: it sends the *same* request with the *same*
# idempotency key again, and the service executes it once. It repeats nothing that a rule has refused. After two
# seconds it says that it does.
call() {
    local method=$1 path=$2 body=${3:-} key=${4:-}
    local send=(--silent --show-error --max-time 10 --request "$method" --output "$answer/body"
        --dump-header "$answer/headers" --write-out '%{http_code}' --config "$answer/authorization")
    [[ -n $body ]] && send+=(--header 'Content-Type: application/json' --data "$body")
    [[ -n $key ]] && send+=(--header "Idempotency-Key: $key")

    local wait=1 started=$SECONDS is_silent=true
    local give_up_at=$((started + 60))
    while true; do
        local status
        : >"$answer/headers"
        : >"$answer/body"
        status=$(curl "${send[@]}" "$url/api/v1$path" 2>"$answer/error") || status=000
        echo "$status" >"$answer/status"
        case $status in
            2??) cat "$answer/body" && echo && return 0 ;;
            000 | 408 | 429 | 502 | 503 | 504) ;; # not answered, or not now
            *) [[ $(field executed) == unknown ]] || { cat "$answer/body" && echo && return 1; } ;;
        esac
        local asked
        asked=$(header Retry-After)
        ((SECONDS + ${asked:-$wait} > give_up_at)) && break
        if $is_silent && ((SECONDS + ${asked:-$wait} > started + 2)); then
            is_silent=false
            echo "$url$path: $(cat "$answer/error" "$answer/body"); trying again for a minute" >&2
        fi
        # What the service asks for; otherwise longer each time.
        sleep "${asked:-$wait}"
        wait=$((wait * 2))
    done
    echo "$method $path with key $key was not answered: $(cat "$answer/error")" >&2
    return 1
}

# field NAME: a field of the last answer, enough for flat JSON. With jq at hand: jq -r .NAME "$answer/body"
field() {
    grep -oE "\"$1\" *: *(\"[^\"]*\"|[^,}]*)" "$answer/body" | head -n 1 | cut -d : -f 2- | tr -d '" '
}

# header NAME: a header of the last answer; nothing if there is none.
header() {
    grep -i "^$1:" "$answer/headers" 2>/dev/null | cut -d : -f 2- | tr -d ' \r' || true
}

expect() { # expect FOUND WANTED
    [[ $1 == "$2" ]] || { echo "expected $2, found $1 in $(cat "$answer/body")" >&2 && exit 1; }
}

# A new user for every run. Yours come from your own database, as do payments and orders.
user=$(date +%s%N | cut -c 1-16)
payment=$user order=$user

# Services are added once: it being there already is fine.
call POST /services '{"services":[{"id":1,"name":"Courier"}]}' >/dev/null || expect "$(field code)" service_exists

# The key names the payment: however often its notification comes in, the money comes once.
top_up='{"amount":100000,"comment":"card *1234"}'
first=$(call POST "/users/$user/deposits" "$top_up" "payment-$payment")
again=$(call POST "/users/$user/deposits" "$top_up" "payment-$payment")
expect "$(header Idempotency-Replayed)" true
expect "$again" "$first"

what="\"user_id\":$user,\"service_id\":1,\"order_id\":$order"
call POST /reservations "{$what,\"amount\":30000}" "order-$order-reserve"
expect "$(field state)" active

# Delivered for less: a capture is final by default and gives the rest back.
call POST /reservations/capture "{$what,\"amount\":25000}" "order-$order-capture"
expect "$(field captured)/$(field released)" 25000/5000

call POST /reservations/refund "{$what,\"amount\":5000,\"comment\":\"came late\"}" "order-$order-refund-1"
expect "$(field refunded)" 5000

call GET "/users/$user/balance"
expect "$(field available)/$(field reserved)/$(field total)" 80000/0/80000

# A rule that says no is an answer, not a failure to repeat.
if call POST "/users/$user/withdrawals" '{"amount":1000000}' "payout-$payment"; then
    echo 'more was withdrawn than there is' >&2
    exit 1
fi
expect "$(field code)/$(field executed)" insufficient_funds/no

# Why is the balance what it is? Oldest first, two per page to show paging.
kinds='' cursor=''
while true; do
    call GET "/users/$user/operations?sort=created_at&limit=2$cursor" >/dev/null
    kinds+=$(grep -o '"kind":"[a-z_]*"' "$answer/body" | cut -d '"' -f 4 | tr '\n' ' ')
    next=$(field next_cursor)
    [[ $next == null ]] && break
    cursor="&cursor=$next"
done
expect "$kinds" 'deposit reserve capture release refund '

month=$(date -u +%Y-%m)
call POST /reports/revenue "{\"month\":\"$month\"}"
expect "$(field url)" "/api/v1/reports/revenue/$month.csv"
call GET "/reports/revenue/$month.csv" >"$answer/report.csv"
expect "$(head -n 1 "$answer/report.csv" | tr -d '\r')" 'service;revenue'
printf 'user %s has 80000 minor units; the report is at %s\n' "$user" "$url/api/v1/reports/revenue/$month.csv"
