#!/usr/bin/env bash
# Python's dirq counts and locks by a directory's link count, which not every file system keeps.
#
# Expected: a directory queue works on any local file system; `count()` is the number of elements, and an element that was
#   locked can be read.
# Seen: dirq 1.8 on btrfs, where the link count of a directory is always 1: three elements count as -3, and each `get` after
#   a successful `lock` raises "not locked". On an overlay whose lower layer holds the queue (a queue directory that came
#   with a container image) the count is 3 and `get` raises as well. Nothing can be taken from either. On ext4 all is well.
# Sesame: reads directories instead of link counts (host/spool/src/queue), and warns of a receiver's spool on either file
#   system, since APEL's loader reads `incoming` with dirq (host/spool/src/guard.rs).
#
# Output on 2026-11-28 (dirq 1.8, btrfs-progs 6.2-1+deb12u2, kernel 6.18):
#   plain: count 3, taken 3, errors 0
#   btrfs: count -3, taken 0, errors 3
#   overlay: count 3, taken 0, errors 3
#
# Needs root, and a kernel with btrfs, overlay and loop devices.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib/debian-root"
debian_root btrfs-progs=6.2-1+deb12u2
for driver in btrfs overlay; do
    grep -qw "$driver" /proc/filesystems || modprobe -q "$driver" || { echo "the kernel has no $driver" >&2; exit 2; }
done
work=$ROOT/work
mkdir -p "$work"/{plain,btrfs,overlay,lower,upper,index}
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target "$work/python" dirq==1.8 || exit 2
cat >"$work/queue.py" <<'PYTHON'
import sys
from dirq.queue import Queue

queue = Queue(sys.argv[2], schema={"body": "string"})
if sys.argv[1] == "add":
    for _ in range(3):
        queue.add({"body": "record"})
else:
    count, taken, errors, name = queue.count(), 0, 0, queue.first()
    while name:
        try:
            if queue.lock(name):
                queue.get(name)
                queue.remove(name)
                taken += 1
        except Exception as error:
            if "not locked" not in str(error):
                raise
            errors += 1
        name = queue.next()
    print(f"count {count}, taken {taken}, errors {errors}")
PYTHON
queue() { PYTHONPATH=$work/python python3 "$work/queue.py" "$@"; }

truncate -s 256M "$work/image"
inside mkfs.btrfs --quiet /work/image 2>/dev/null
mount -o loop "$work/image" "$work/btrfs"
queue add "$work/lower/queue"
mount -t overlay overlay -o "lowerdir=$work/lower,upperdir=$work/upper,workdir=$work/index" "$work/overlay"
queue add "$work/plain/queue"
queue add "$work/btrfs/queue"

for try in 'plain count 3, taken 3, errors 0' 'btrfs count -3, taken 0, errors 3' 'overlay count 3, taken 0, errors 3'; do
    seen=$(queue take "$work/${try%% *}/queue")
    echo "${try%% *}: $seen"
    [ "$seen" = "${try#* }" ]
done
