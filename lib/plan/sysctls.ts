/** Kernel settings that IPVS proxying needs (behaviour.md 5.2), and those that may be asked for besides (5.4). */

export interface WantedSysctl {
  /** Path under /proc/sys: `net/ipv4/vs/conntrack`. */
  readonly key: string;
  readonly value: string;
  /** A larger number that is there stays. */
  readonly atLeast?: boolean;
  /** Nothing depends on it: where it is refused, that is a warning and no failure. */
  readonly tuning?: boolean;
}

/** What kube-proxy sets of nf_conntrack (behaviour.md 5.4). A 0, false or absent field is left as it is. */
export interface ConntrackTuning {
  /** `nf_conntrack_max` for each core, but no less than `min` in all. */
  readonly maxPerCore?: number;
  readonly min?: number;
  readonly tcpEstablishedTimeoutSeconds?: number;
  readonly tcpCloseWaitTimeoutSeconds?: number;
  readonly tcpBeLiberal?: boolean;
  readonly udpTimeoutSeconds?: number;
  readonly udpStreamTimeoutSeconds?: number;
}

export interface SysctlOptions {
  /** Text of /proc/sys/kernel/osrelease, `6.1.176-uml`. */
  readonly kernelRelease: string;
  /** No interface but that of an address answers ARP for it, so not for VIPs. */
  readonly strictARP: boolean;
  /** Absent = the connection tracking of the host is left alone. */
  readonly conntrack?: ConntrackTuning;
  /** Cores of this host: what `maxPerCore` is multiplied by. */
  readonly cores: number;
}

export function wantedSysctls(options: SysctlOptions): readonly WantedSysctl[] {
  const { kernelRelease, strictARP, conntrack, cores } = options;
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
    ...(strictARP ? strictArpSysctls : []),
    ...(conntrack === undefined ? [] : conntrackSysctls(conntrack, cores)),
  ];
}

const strictArpSysctls: readonly WantedSysctl[] = [
  { key: 'net/ipv4/conf/all/arp_ignore', value: '1' },
  { key: 'net/ipv4/conf/all/arp_announce', value: '2' },
];

function conntrackSysctls(settings: ConntrackTuning, cores: number): WantedSysctl[] {
  const { maxPerCore = 0, min = 0 } = settings;
  const max = maxPerCore === 0 ? 0 : Math.max(min, maxPerCore * cores);
  const numbers: readonly (readonly [string, number | undefined])[] = [
    ['nf_conntrack_max', max],
    ['nf_conntrack_tcp_timeout_established', settings.tcpEstablishedTimeoutSeconds],
    ['nf_conntrack_tcp_timeout_close_wait', settings.tcpCloseWaitTimeoutSeconds],
    ['nf_conntrack_tcp_be_liberal', settings.tcpBeLiberal === true ? 1 : 0],
    ['nf_conntrack_udp_timeout', settings.udpTimeoutSeconds],
    ['nf_conntrack_udp_timeout_stream', settings.udpStreamTimeoutSeconds],
  ];
  const wanted = numbers.flatMap(([name, value = 0]) =>
    value === 0 ? [] : [{ key: `net/netfilter/${name}`, value: String(value), tuning: true }],
  );
  // The module's parameter `hashsize` by another name, which is there where /sys is read-only, too.
  const buckets = { key: 'net/netfilter/nf_conntrack_buckets', value: String(Math.floor(max / 4)) };
  return max === 0 ? wanted : [...wanted, { ...buckets, atLeast: true, tuning: true }];
}
