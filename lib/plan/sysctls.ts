/** Kernel settings that IPVS proxying needs (behaviour.md 5.2). */

export interface WantedSysctl {
  /** Path under /proc/sys: `net/ipv4/vs/conntrack`. */
  readonly key: string;
  readonly value: string;
}

/** `kernelRelease`: text of /proc/sys/kernel/osrelease, `6.1.176-uml`. */
export function wantedSysctls(kernelRelease: string): readonly WantedSysctl[] {
  const [major = 0, minor = 0] = kernelRelease.split('.').map((part) => Number.parseInt(part, 10));
  const version = major * 1000 + minor;
  return [
    // Without conntrack entries for IPVS connections no packet of theirs is ever source-translated.
    { key: 'net/ipv4/vs/conntrack', value: '1' },
    // 1 delays connections that reuse a port by a second there; from 5.9 on the kernel does right by itself (kubernetes #93297).
    ...(version >= 4001 && version < 5009 ? [{ key: 'net/ipv4/vs/conn_reuse_mode', value: '0' }] : []),
    // Flows of a removed destination move to another at once instead of being dropped until they time out.
    { key: 'net/ipv4/vs/expire_nodest_conn', value: '1' },
    // Session affinity lets go of a destination whose weight is 0.
    { key: 'net/ipv4/vs/expire_quiescent_template', value: '1' },
    { key: 'net/ipv4/ip_forward', value: '1' },
  ];
}
