#!/usr/bin/env bash
# Runs what an image runs, where no container engine is: `run-image.sh IMAGE VOLUME [NAME=VALUE ...]`, as root, with
# buildah's storage. Like `docker run --read-only --tmpfs /tmp --network host --security-opt no-new-privileges` with the
# volume at /var/lib/fileloft: own processes, of which the entrypoint is number 1, own mounts, the user of the image.
# Its first line is `pid N`, number 1 as seen from outside; SIGTERM is passed on, SIGINT kills; it ends with its code.
set -euo pipefail
image=$1 volume=$2
shift 2

container=$(buildah from --pull-never "$image")
trap 'buildah umount "$container" >/dev/null; buildah rm "$container" >/dev/null' EXIT
root=$(buildah mount "$container")
field() { buildah inspect --format "{{range .Docker.Config.$1}}{{println .}}{{end}}" "$container" | sed '/^$/d'; }
mapfile -t env < <(field Env)
mapfile -t command < <(field Entrypoint && field Cmd)
user=$(buildah inspect --format '{{.Docker.Config.User}}' "$container")
for device in null zero random urandom; do touch "$root/dev/$device"; done

unshare --mount --pid --fork --kill-child --propagation private sh -c '
  set -e
  root=$1 volume=$2
  shift 2
  mount --bind "$root" "$root"
  mount -o remount,bind,ro "$root"
  mount --bind "$volume" "$root/var/lib/fileloft"
  mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
  mount -t proc proc "$root/proc"
  for device in null zero random urandom; do mount --bind "/dev/$device" "$root/dev/$device"; done
  exec "$@"' sh "$root" "$volume" \
  env -i "${env[@]}" "$@" setpriv --no-new-privs chroot --userspec="$user" "$root" "${command[@]}" &
parent=$!
first() { cat "/proc/$parent/task/$parent/children" 2>/dev/null | tr -d ' '; }
trap 'kill -TERM "$(first)" 2>/dev/null || true' TERM
trap 'kill -KILL "$(first)" 2>/dev/null || true' INT
until [ -n "$(first)" ] || ! kill -0 "$parent" 2>/dev/null; do :; done
echo "pid $(first)"

# A signal interrupts the waiting.
while kill -0 "$parent" 2>/dev/null; do wait "$parent" || true; done
code=0
wait "$parent" || code=$?
exit "$code"
