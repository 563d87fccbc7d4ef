# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# File systems for the end-to-end tests. A test sources this file after lib.sh; what it attaches and
# mounts is gone on every way out, before the daemons are ended.
#
# nbdfuse shows an NBD disk as a file, a loop device makes a block device of that. Names below are the
# test's own: one for each disk.
declare -A FUSE=() FILE=() DEVICE=() MOUNT=()
attached=0

needs_file_systems() {
  local missing program
  for program in nbdfuse losetup mkfs.ext4 e2fsck fusermount3; do
    command -v "$program" >/dev/null || missing=$program
  done
  [ "$(id -u)" = 0 ] || missing=root
  [ -w /dev/fuse ] || missing=/dev/fuse
  losetup -f >/dev/null 2>&1 || missing='loop devices'
  [ -z "${missing:-}" ] || skip "needs $missing"
}

# attach NAME URI: ${DEVICE[NAME]} is a block device with the disk's content.
attach() {
  local file=$D/$1.$((attached += 1)) # never one that was in use before
  : >"$file"
  nbdfuse "$file" "$2" >>"$D/nbdfuse.log" 2>&1 &
  FUSE[$1]=$! FILE[$1]=$file
  disown # bash is to say nothing about its end
  wait_until 20 test -s "$file" || fail "nbdfuse: $(tail -n 3 "$D/nbdfuse.log")"
  DEVICE[$1]=$(losetup -f --show "$file") || fail "no loop device for $1"
}

# mount_at NAME DIRECTORY OPTIONS...
mount_at() {
  mkdir -p "$2"
  mount -t ext4 "${@:3}" "${DEVICE[$1]}" "$2" || fail "$1 cannot be mounted"
  MOUNT[$1]=$2
}

unmount() { # NAME
  bounded 60 umount "${MOUNT[$1]}" || fail "${MOUNT[$1]} cannot be unmounted"
  unset "MOUNT[$1]"
}

# In good order: everything that was written is on the disk. It may be mounted.
detach() { # NAME
  [ -z "${MOUNT[$1]:-}" ] || unmount "$1"
  losetup -d "${DEVICE[$1]}" || fail "${DEVICE[$1]} cannot be detached"
  unset "DEVICE[$1]" # from now on another may get it
  wait_until 20 let_go "${FILE[$1]}" "${FUSE[$1]}" || fail "$1 is in use: $(cat "$D/nbdfuse.log"; losetup -a; grep -F "$D" /proc/mounts)"
  unset "FUSE[$1]" "FILE[$1]"
}
let_go() { { fusermount3 -u "$1" || ! grep -qF " $1 " /proc/mounts; } && wait_until 1 gone "$2"; }

# As if the cable were pulled: what uses it sees errors, and nothing can wait.
tear_off() { # NAME
  [ -n "${FUSE[$1]:-}" ] && ! gone "${FUSE[$1]}" && ours "${FUSE[$1]}" && kill -KILL "${FUSE[$1]}"
  [ -n "${MOUNT[$1]:-}" ] && umount -l "${MOUNT[$1]}"
  [ -n "${DEVICE[$1]:-}" ] && losetup -d "${DEVICE[$1]}"
  [ -n "${FILE[$1]:-}" ] && umount -l "${FILE[$1]}"
  unset "FUSE[$1]" "MOUNT[$1]" "DEVICE[$1]" "FILE[$1]"
} 2>/dev/null

leave() {
  local status=$? name
  trap '' INT TERM
  [ "$(type -t release)" = function ] && release
  for name in "${!FILE[@]}"; do tear_off "$name"; done
  (exit "$status")
  cleanup
}
trap leave EXIT
