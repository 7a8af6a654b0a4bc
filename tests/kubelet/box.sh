# The root of one container: box.sh FILE FOLDER COMMAND... ; FILE has what is to be in it.
# It runs as process 1 of its own process numbers, mounts and host name.
set -eu
exec >&3 2>&4 3>&- 4>&-
. "$1"
at="$2"
shift 2
mkdir "$work/box"
mount -t tmpfs none "$work/box"
cd "$work/box"
mkdir root upper scratch
mount -t tmpfs -o mode=755 none root

# This machine's files, to be changed by nobody but this container. Where a folder cannot be laid
# over (it has mounts beneath, and we are not root), it is seen as it is.
first=$(readlink /proc/self/ns/user)
own=$([ "$first" = "user:[4026531837]" ] || echo userxattr,)
for path in /*; do
  if [ -L "$path" ]; then
    cp -P "$path" "root$path"
  elif [ -d "$path" ]; then
    mkdir "root$path"
    case $path in
      /proc | /run | /tmp) ;;
      /dev | /sys) mount --rbind "$path" "root$path" ;;
      *)
        mkdir "upper$path" "scratch$path"
        mount -t overlay overlay \
          -o "${own}lowerdir=$path,upperdir=upper$path,workdir=scratch$path" "root$path" \
          2>/dev/null || mount --rbind "$path" "root$path"
        ;;
    esac
  fi
done
mount -t proc proc root/proc
chmod 1777 root/tmp
chmod o+x root/root 2>/dev/null || true # where this environment's Python may live
mount -t tmpfs -o mode=755 none root/usr/local/bin

program() { # NAME TARGET
  printf '#!/bin/sh\nexec %s "$@"\n' "$2" >"root/usr/local/bin/$1"
  chmod 755 "root/usr/local/bin/$1"
}

volume() { # SOURCE PATH ro|rw: first only the place, later the mount
  set -- "$1" "$(chroot root realpath -m "$2")" "$3" # /var/run is a link
  if [ -d "$1" ]; then
    mkdir -p "root$2"
  elif [ ! -e "root$2" ]; then
    mkdir -p "root$(dirname "$2")"
    : >"root$2"
  fi
  [ "$later" ] || return 0
  mount --bind "$1" "root$2"
  [ "$3" = rw ] || mount -o remount,bind,ro "root$2"
}

later=
fill
for path in $needed; do mkdir -p "root$path"; done # in our /tmp; below, in a volume that is there
if [ -n "$read_only" ]; then
  for path in /usr/local/bin /* ""; do
    case $path in /proc | /dev | /sys) continue ;; esac
    [ -L "$path" ] || ! mountpoint -q "root$path" || mount -o remount,bind,ro "root$path"
  done
fi
echo "$hostname" >/proc/sys/kernel/hostname
mkdir -p "root$at"
later=yes
program() { :; }
fill
for path in $needed; do
  mkdir -p "root$path"
  mount --bind "$path" "root$path"
  mount -o remount,bind,ro "root$path"
done
: >"$work/up"
exec chroot root /bin/sh -c 'cd "$1"; shift; exec "$@"' sh "$at" "$@"
