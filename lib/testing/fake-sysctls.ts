/** Kernel settings in memory. */
import { ProxierError } from '../errors.ts';
import type { Sysctls } from '../kernel/sysctl.ts';

export class FakeSysctls implements Sysctls {
  /** `net/ipv4/vs/conntrack` → value as text. A key that is not there does not exist. */
  readonly values: Map<string, string>;
  /** Keys that refuse to be written, as on a read-only /proc/sys. */
  readonly readOnly: Set<string> = new Set();

  /** @param values Default: the keys of behaviour.md 5.2 as a fresh network namespace of a 6.1 kernel has them. */
  constructor(values: Iterable<readonly [string, string]> = freshValues) {
    this.values = new Map(values);
  }

  read(key: string): string | undefined {
    return this.values.get(key);
  }

  write(key: string, value: string): void {
    if (this.readOnly.has(key) || !this.values.has(key)) {
      throw new ProxierError('ERR_SYSCTL', `cannot set sysctl ${key.replaceAll('/', '.')} = ${value}: EROFS`);
    }
    this.values.set(key, value);
  }
}

const freshValues: readonly (readonly [string, string])[] = [
  ['net/ipv4/vs/conntrack', '0'],
  ['net/ipv4/vs/conn_reuse_mode', '1'],
  ['net/ipv4/vs/expire_nodest_conn', '0'],
  ['net/ipv4/vs/expire_quiescent_template', '0'],
  ['net/ipv4/ip_forward', '0'],
  ['net/ipv4/conf/all/arp_ignore', '0'],
  ['net/ipv4/conf/all/arp_announce', '0'],
  ['net/ipv6/conf/all/forwarding', '0'],
  ['kernel/osrelease', '6.1.176'],
];
