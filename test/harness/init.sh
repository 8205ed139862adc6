#!/bin/sh
# PID 1 of the test kernel (see test-kernel.ts). The kernel passes `testkernel_dir=DIR` on as a variable; DIR, on the host's disk, holds
# command.sh, and receives stdout, stderr and, last and by rename, status. Nothing outside DIR and the guest's own mounts is written.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C
dir=$testkernel_dir

finish() {
  echo "$1" >"$dir/status.new"
  mv "$dir/status.new" "$dir/status"
  # The host kills the machine once it has seen the status; both lines are for the case that there is no host process any more.
  echo o >/proc/sysrq-trigger 2>/dev/null
  halt -f 2>/dev/null
  sleep 60
}
broken() {
  echo "$1" >"$dir/broken"
  finish 125
}

mount -t proc proc /proc || broken 'mount of /proc failed'
mount -t sysfs sysfs /sys || broken 'mount of /sys failed'
# /run for `ip netns` and the xtables lock; its tmp is the guest's TMPDIR, for files there cost a fifth of hostfs'.
mount -t tmpfs -o size=60% tmpfs /run || broken 'mount of a tmpfs on /run failed'
mkdir -m 1777 /run/tmp
# The kernel mounted its own /dev; what a distribution's start-up adds to it:
mkdir -p /dev/shm /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t devpts devpts /dev/pts
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
export TMPDIR=/run/tmp TEST_KERNEL=uml

# Modules: the package keeps them where modprobe does not look, and the host's /lib/modules is not ours to change. The script serves
# the kernel's own module requests, the variable those of everybody else.
release=$(uname -r)
mkdir -p /run/kmod/lib/modules
ln -s "$testkernel_modules/$release" "/run/kmod/lib/modules/$release"
[ -e "/run/kmod/lib/modules/$release/modules.dep" ] || broken "no modules for Linux $release in $testkernel_modules"
printf '#!/bin/sh\nexec /sbin/modprobe -d /run/kmod "$@"\n' >/run/kmod/modprobe
chmod 755 /run/kmod/modprobe
echo /run/kmod/modprobe >/proc/sys/kernel/modprobe
export MODPROBE_OPTIONS='-d /run/kmod'
# ipv6 is built in wherever else Kubernetes runs; where it is a module, nothing would ask for it before the first address.
[ -e /proc/sys/net/ipv6 ] || testkernel_load="ipv6 $testkernel_load"
for module in $testkernel_load; do
  modprobe "$module" 2>"$dir/modprobe" || broken "modprobe $module: $(cat "$dir/modprobe")"
done

ip link set lo up || broken 'ip link set lo up failed'
hostname test-kernel

sh "$dir/command.sh" </dev/null >>"$dir/stdout" 2>>"$dir/stderr"
finish $?
