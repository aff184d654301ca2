# Starts Fairway for the scripts beside it, which source this. FAIRWAY is the binary, `work` a
# directory of their own; what is started ends with the script.

started=()
finish() {
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap finish EXIT

# start CONFIG FLAG…: serves a directory, and returns when it is ready.
start() {
    # shellcheck disable=SC2046 # a list of flags
    "$FAIRWAY" up "$1" --workers 1 --instance-dir "$work/i" \
        $(printf -- '--%s-port 0 ' grpc debug monitoring admin status metrics) "${@:2}" \
        >"$work/log" 2>&1 &
    local up=$!
    started+=("$up")
    for _ in $(seq 300); do
        grep -q '"ready": true' "$work/i/instance.json" 2>/dev/null && return
        kill -0 "$up" || break
        sleep 0.1
    done
    echo "fairway is not ready"
    cat "$work/log"
    exit 1
}

# listener PORT: where it answers.
listener() {
    awk -v port="\"port\": $1," '
        index($0, port) { found = 1 }
        found && /"address"/ { gsub(/.*: "|".*/, ""); print; exit }
    ' "$work/i/instance.json"
}
