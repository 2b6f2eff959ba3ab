#!/bin/bash
# machine.sh REPOSITORY TESTDATA SCRIPT: run SCRIPT on a machine of its own, in a copy of the repository. It is called
# with namespaces of its own for mounts, processes and the network.
set -euo pipefail
repository=$1 testdata=$2 script=$3

scratch=$(mktemp -d)
mount -t tmpfs machine "$scratch"
mkdir "$scratch"/{etc,bin,repository,own}
cp -a /etc/. "$scratch/etc/" 2>/dev/null || true # what this user may read of it
cp -a /usr/local/bin/. "$scratch/bin/" 2>/dev/null || true
tar -C "$repository" --exclude=./.git --exclude=./bin -cf - . | tar -C "$scratch/repository" -xf -
install "$testdata/systemctl" "$scratch/own/systemctl"
printf '#!/bin/sh\nexec "$@"\n' >"$scratch/own/sudo"
chmod +x "$scratch/own/sudo"

mount --bind "$scratch/etc" /etc
mount --bind "$scratch/bin" /usr/local/bin
for place in /opt /srv /var /run; do
  [ ! -d "$place" ] || mount -t tmpfs machine "$place"
done
mkdir -p /etc/systemd/system /var/{www,tmp,log,lib} /run/lock
python3 - <<'PYTHON'
import fcntl, socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
fcntl.ioctl(s, 0x8914, struct.pack("16sH14s", b"lo", 0x1 | 0x40, b""))  # SIOCSIFFLAGS: IFF_UP | IFF_RUNNING
PYTHON

export PATH=$scratch/own:/usr/local/bin:/usr/local/go/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH
cd "$scratch/repository"
exec bash "$script"
