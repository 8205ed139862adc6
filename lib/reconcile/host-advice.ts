/** Kernel settings that are the administrator's to make (behaviour.md 5.2): said, never written. */
import type { Sysctls } from '../kernel/sysctl.ts';
import type { IpFamily } from '../types.ts';

export function sysctlObject(key: string): string {
  return `sysctl ${key}`;
}

interface Advice {
  readonly key: string;
  /** The value that is worth a word. */
  readonly bad: string;
  readonly family: IpFamily;
  readonly message: string;
}

const advices: readonly Advice[] = [
  {
    key: 'net/ipv6/conf/all/forwarding',
    bad: '0',
    family: 'IPv6',
    message:
      'is 0: IPv6 Services reach no endpoint on another node. It is not set here because it also ends router advertisements (accept_ra=2 keeps them): sysctl -w net.ipv6.conf.all.forwarding=1',
  },
  // These two are there only where br_netfilter is loaded.
  {
    key: 'net/bridge/bridge-nf-call-iptables',
    bad: '0',
    family: 'IPv4',
    message:
      'is 0: where pods are on a Linux bridge, answers to a pod of the same bridge pass by the connection tracking and keep the wrong source. With such a CNI plugin: sysctl -w net.bridge.bridge-nf-call-iptables=1',
  },
  {
    key: 'net/bridge/bridge-nf-call-ip6tables',
    bad: '0',
    family: 'IPv6',
    message:
      'is 0: where pods are on a Linux bridge, answers to a pod of the same bridge pass by the connection tracking and keep the wrong source. With such a CNI plugin: sysctl -w net.bridge.bridge-nf-call-ip6tables=1',
  },
  {
    key: 'net/ipv4/conf/all/rp_filter',
    bad: '1',
    family: 'IPv4',
    message:
      'is 1 (strict): packets that come in by another interface than the route to their source are dropped, which hits Services on hosts with several ways to a pod or client. Where that is so: sysctl -w net.ipv4.conf.all.rp_filter=2',
  },
];

/** What to say, by object. A setting that is not there or cannot be read is nobody's trouble. */
export function hostAdvice(sysctls: Sysctls, families: readonly IpFamily[]): Map<string, string> {
  const advice = new Map<string, string>();
  for (const { key, bad, family, message } of advices) {
    if (families.includes(family) && readable(sysctls, key) === bad) advice.set(sysctlObject(key), message);
  }
  return advice;
}

/** Undefined when it is not there, or may not be read. */
export function readable(sysctls: Sysctls, key: string): string | undefined {
  try {
    return sysctls.read(key);
  } catch {
    return undefined;
  }
}
