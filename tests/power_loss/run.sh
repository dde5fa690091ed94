#!/usr/bin/env bash
# Power loss, simulated: promotions run without a pause in a repository on an ext4 file system of its own. At a random moment they are
# stopped, the block device is copied as it is (what the kernel had not written yet is lost), and the copy is mounted and read back.
#
#   tests/power_loss/run.sh [TRIALS]                      root only: it mounts
#   WITHOUT_SYNC=1 tests/power_loss/run.sh [TRIALS]       the control, by strace: every syncfs is left out, and trials must be lost
set -euo pipefail

trials=${1:-12}
cd "$(dirname "$0")/../.."
[ "$(id -u)" = 0 ] || { echo "this recipe mounts file systems: run it as root" >&2; exit 6; }
worker=$(cargo bench --quiet --profile dev --bench git --no-run --message-format=json 2>/dev/null |
  sed -n 's/.*"name":"git".*"executable":"\([^"]*\)".*/\1/p' | tail -1)
[ -x "$worker" ] || { echo "the worker did not build: cargo bench --profile dev --bench git --no-run" >&2; exit 1; }

start=("$worker")
[ -z "${WITHOUT_SYNC:-}" ] || start=(strace -f -qq -o /dev/null -e trace=syncfs -e inject=syncfs:retval=0 "$worker")

work=$(mktemp -d)
group=
finish() {
  [ -z "$group" ] || kill -KILL -- "-$group" 2>/dev/null || true
  umount "$work/copy" 2>/dev/null || true
  umount "$work/live" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
mkdir "$work/live" "$work/copy"
truncate -s 512M "$work/disk.img"
mkfs.ext4 -q -F "$work/disk.img"
mount -o loop "$work/disk.img" "$work/live"
"$worker" prepare "$work/live/repository"
sync -f "$work/live"

# `0.1.12` -> `12`
patch() { echo "${1##*.}"; }

check() { # the repository on the copy, the last acknowledged version
  local repository=$1 acknowledged=$2
  local git=(git -C "$repository")
  local version state
  "${git[@]}" fsck --strict --no-dangling >"$work/fsck" 2>&1 || { head -n 3 "$work/fsck"; return 1; }
  version=$("${git[@]}" log -1 --format='%(trailers:key=Agent-Version,valueonly,separator=)' active)
  state=$("${git[@]}" log -1 --format='%(trailers:key=Agent-State,valueonly,separator=)' active)
  [ "$("${git[@]}" rev-parse active:state/active.state.json)" = "$state" ] || { echo "v$version holds another state"; return 1; }
  "${git[@]}" cat-file blob "$state" >/dev/null || { echo "the state of v$version is unreadable"; return 1; }
  [ "$(patch "$version")" -ge "$(patch "$acknowledged")" ] || { echo "v$acknowledged was acknowledged, active is v$version"; return 1; }
  [ "$("${git[@]}" rev-parse "v$acknowledged")" = "$(sed -n "s/^$acknowledged //p" "$work/log")" ] || { echo "tag v$acknowledged is lost"; return 1; }
  # what was half done is rolled forward, and nothing blocks the next promotion
  timeout 20 "$worker" promote "$repository" 2>"$work/next" | head -n 2 >"$work/after" || true
  [ "$(wc -l <"$work/after")" = 2 ] || { echo "no promotion after it:"; cat "$work/next"; return 1; }
  [ "$("${git[@]}" rev-parse "v$version")" = "$("${git[@]}" rev-parse "active~$(($(patch "$("${git[@]}" log -1 --format='%(trailers:key=Agent-Version,valueonly,separator=)' active)") - $(patch "$version")))")" ] ||
    { echo "v$version is not tagged"; return 1; }
}

whole=0
for trial in $(seq "$trials"); do
  : >"$work/log"
  setsid "${start[@]}" promote "$work/live/repository" >"$work/log" &
  group=$!
  until [ "$(grep -c '^0' "$work/log")" -ge 3 ]; do
    kill -0 "$group" || { echo "the promotions ended by themselves"; exit 1; }
    sleep 0.01
  done
  # pure chance decides where in a promotion it stops
  sleep "0.$((RANDOM % 900 + 100))"
  kill -STOP -- "-$group"
  acknowledged=$(grep '^0' "$work/log" | tail -1 | cut -d' ' -f1)
  cp --sparse=always "$work/disk.img" "$work/copy.img"
  kill -KILL -- "-$group"
  wait "$group" 2>/dev/null || true
  group=
  e2fsck -p "$work/copy.img" >"$work/e2fsck" 2>&1 || [ $? -le 1 ] || cat "$work/e2fsck"
  mount -o loop "$work/copy.img" "$work/copy"
  if check "$work/copy/repository" "$acknowledged"; then
    whole=$((whole + 1))
    echo "trial $trial: v$acknowledged and all before it read back whole"
  else
    echo "trial $trial: LOST"
  fi
  umount "$work/copy"
done
echo "$whole of $trials read back whole"
[ "$whole" = "$trials" ]
