#!/bin/bash
# SPDX-License-Identifier: MIT
# ext4 on the disk, and any file operations for as long as one likes: no error, what was written is
# read back after a remount, and each mirror has the same file system, clean.
# usage: [DURATION=10] [SEED=N] file-operations.sh; seconds
source "$(dirname "$0")/lib.sh"
source "$HERE/disk.sh"
needs_file_systems
SEED=${SEED:-$RANDOM}
RANDOM=$SEED
NAME="$NAME seed $SEED"
M=$D/mnt

# ---- what is done; each takes a directory that it makes, or finds as it left it ----

tree() { # unpacked, copied, moved, packed, and compared each time
  rm -rf "$1"
  mkdir "$1"
  tar -C "$ROOT" -c docs common | tar -C "$1" -x
  diff -r "$ROOT/common" "$1/common"
  cp -a "$1/common" "$1/copy"
  mv "$1/common" "$1/moved"
  diff -r "$1/copy" "$1/moved"
  rm -r "$1/copy"
  tar -C "$1" -czf "$1/all.tgz" moved docs
  tar -C "$1" -dzf "$1/all.tgz"
}

churn() { # git: many small files, renames and syncs
  [ -d "$1" ] || git init -q "$1"
  for i in 1 2 3 4 5; do echo "$RANDOM" >"$1/$((RANDOM % 100))"; done
  git -C "$1" -c core.fsync=all add -A
  git -C "$1" -c user.name=t -c user.email=t@localhost commit -q --allow-empty -m "$RANDOM"
  [ $((RANDOM % 4)) != 0 ] || git -C "$1" gc -q
  git -C "$1" fsck --no-progress
}

blocks() { # direct, mapped and plain writes, synced now and then
  mkdir -p "$1"
  fio --directory="$1" --rw=randwrite --size=3M --nrfiles=3 --bsrange=4k-64k --fallocate=none \
    --verify=pattern --verify_pattern="0x$(printf %08x "$RANDOM")%o" --verify_fatal=1 --verify_state_save=0 \
    --name=direct --direct=1 --ioengine=libaio --iodepth=8 --name=mapped --ioengine=mmap --fsync=50 \
    --name=plain --ioengine=psync --bsrange=512-64k --fdatasync=20 --output="$D/fio.${1##*/}"
}

holes() { # truncated, punched, zeroed, collapsed
  mkdir -p "$1"
  for i in 1 2 3; do
    head -c 300000 /dev/urandom >"$1/f$i"
    truncate -s $((RANDOM * 64)) "$1/f$i"
    truncate -s 3M "$1/f$i"
    fallocate -p -o $((RANDOM * 8)) -l $((RANDOM * 16 + 1)) "$1/f$i"
    fallocate -z -o $((RANDOM * 8)) -l $((RANDOM * 16 + 1)) "$1/f$i"
    fallocate -c -o 65536 -l $((4096 * (RANDOM % 8 + 1))) "$1/f$i"
    fallocate -l 1M "$1/g$i"
    cp --sparse=always "$1/f$i" "$1/h$i"
    cmp "$1/f$i" "$1/h$i"
  done
}

names() { # links, renames over what is there, a directory that grows and shrinks
  mkdir -p "$1"
  for ((i = 0; i < 150; i++)); do
    echo "$i" >"$1/a.$i"
    ln -f "$1/a.$i" "$1/l.$((i % 20))"
    mv "$1/a.$i" "$1/b.$((RANDOM % 200))"
  done
  ln -sfn "b.$RANDOM" "$1/link"
  rm -f "$1"/b.*7
  sync "$1"
}

trim() {
  fstrim "$M"
  sync -f "$M"
}

operations() { # WORKER
  local op seed until=$(($(now_ms) + ${DURATION:-10} * 1000)) ops=(tree churn blocks holes names trim)
  exec >>"$D/ops.$1" 2>&1
  RANDOM=$((SEED + $1))
  while [ "$(now_ms)" -lt "$until" ]; do
    op=${ops[RANDOM % ${#ops[@]}]} n=$((RANDOM % 3)) seed=$RANDOM
    (set -e && RANDOM=$seed && "$op" "$M/$1.$op.$n") & # in the background -e counts for all of it
    wait $! || exit 1
    echo "did $op"
  done
}

# ---- the test ----

manifest() { # DIRECTORY: names, kinds, sizes, modes, times, targets of links, and what is in the files
  (cd "$1" && find . -path ./lost+found -prune -o -printf '%p %y %s %m %n %T@ %l\n' | sort &&
    find . -path ./lost+found -prune -o -type f -print0 | sort -z | xargs -0 sha256sum)
}

sed -E 's/size: 1GiB/size: 256MiB/' "$EXAMPLES/bipolar.yaml" >"$D/t.yaml"
up "$D/t.yaml"
before=$(pids)
attach disk "$(uri disk)"
mkfs.ext4 -q -F "${DEVICE[disk]}" || fail "mkfs.ext4"
mount_at disk "$M"
workers=()
for i in 1 2; do
  background operations $i
  workers+=($!)
done
for i in 1 2; do
  await $((${DURATION:-10} + 60)) "${workers[i - 1]}" || fail "file operations: $(tail -n 5 "$D/ops.$i")"
done
bounded 60 manifest "$M" >"$D/manifest"
unmount disk
mount_at disk "$M"
bounded 60 manifest "$M" >"$D/manifest.again"
cmp "$D/manifest" "$D/manifest.again" || fail "after a remount: $(diff "$D/manifest" "$D/manifest.again" | head -n 5)"
detach disk
same_everywhere
[ "$(pids)" = "$before" ] || fail "something was restarted"
stop_up
[ "$UP_STATUS" = 0 ] || fail "it does not stop in good order: $UP_STATUS"
for mirror in west east; do
  e2fsck -fn "$S/$mirror/image.disk" >"$D/check" 2>&1 || fail "the image of $mirror is not clean: $(head -n 5 "$D/check")"
  MOUNT[$mirror]=$D/$mirror FILE[$mirror]=
  mkdir "$D/$mirror" && mount -o loop,ro "$S/$mirror/image.disk" "$D/$mirror" || fail "the image of $mirror cannot be mounted"
  manifest "$D/$mirror" >"$D/manifest.again"
  cmp "$D/manifest" "$D/manifest.again" || fail "at $mirror: $(diff "$D/manifest" "$D/manifest.again" | head -n 5)"
  unmount "$mirror"
  unset "FILE[$mirror]"
done
echo "operations:$(sed -n 's/^did //p' "$D"/ops.* | sort | uniq -c | awk '{printf " %s %d", $2, $1}'), $(grep -c '^\./' "$D/manifest") files"
pass
