#!/bin/sh
# workerd as miniflare starts it, but it does not outlive the process that did so, be it killed.
{ while kill -0 "$PPID" && kill -0 $$; do sleep 1; done; kill -9 $$; } </dev/null >/dev/null 2>&1 3>&- &
exec "$(dirname "$0")/../../node_modules/workerd/bin/workerd" "$@"
