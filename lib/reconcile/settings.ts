/** The kernel settings of behaviour.md 5.2: written, or only reported. */
import { type ErrorRecord, ProxierError, toErrorRecord } from '../errors.ts';
import type { Sysctls } from '../kernel/sysctl.ts';
import { type WantedSysctl, wantedSysctls } from '../plan/sysctls.ts';
import type { IpFamily } from '../types.ts';
import type { PlanResult, ReconcileInit } from './protocol.ts';
import type { Tally } from './tally.ts';

export class Settings {
  readonly #init: Pick<ReconcileInit, 'families' | 'applySysctls' | 'syncPeriodMs'>;
  readonly #sysctls: Sysctls;

  constructor(init: Pick<ReconcileInit, 'families' | 'applySysctls' | 'syncPeriodMs'>, sysctls: Sysctls) {
    this.#init = init;
    this.#sysctls = sysctls;
  }

  /** Writes what is wrong. Returns what is to be said of the rest, by object. */
  mend(tally: Tally): ReadonlyMap<string, string> {
    const { families, applySysctls, syncPeriodMs } = this.#init;
    const check = checkSysctls(this.#sysctls);
    const forHost = hostAdvice(this.#sysctls, families);
    if (!applySysctls) return new Map([...sysctlAdvice(check), ...forHost]);
    const failures = new Map(check.unreadable);
    for (const change of check.changes) {
      const error = writeSysctl(this.#sysctls, change);
      if (error === undefined) tally.sysctlsWritten += 1;
      else failures.set(change.key, error);
    }
    for (const [key, error] of failures) {
      const object = sysctlObject(key);
      tally.failures.push({ object, operation: 'sysctl', error, attempts: 1, retryInMs: syncPeriodMs });
    }
    return forHost;
  }

  /** What {@link mend} would write and say; against nothing, as if nothing were known. */
  plan(against: PlanResult['against']): Pick<PlanResult, 'sysctls' | 'warnings'> {
    const { families, applySysctls } = this.#init;
    const isKnown = against === 'kernel';
    const check = isKnown ? checkSysctls(this.#sysctls) : { changes: allSysctls(this.#sysctls), unreadable: new Map() };
    const advice = applySysctls ? sysctlAdvice({ ...check, changes: [] }) : sysctlAdvice(check);
    const forHost = isKnown ? hostAdvice(this.#sysctls, families) : [];
    return {
      sysctls: applySysctls ? check.changes : [],
      warnings: [...advice, ...forHost].map(([object, message]) => `${object}: ${message}`),
    };
  }
}

interface SysctlChange {
  readonly key: string;
  readonly from: string;
  readonly to: string;
}

interface SysctlCheck {
  /** The settings that are not as they should be. A key that this kernel does not have is `from: ''`. */
  readonly changes: readonly SysctlChange[];
  /** Those that cannot be read: `net/ipv4/ip_forward` → why. */
  readonly unreadable: ReadonlyMap<string, ErrorRecord>;
}

/** Never throws: what cannot be read is named, and the rest is as good as ever. */
function checkSysctls(sysctls: Sysctls): SysctlCheck {
  const changes: SysctlChange[] = [];
  const unreadable = new Map<string, ErrorRecord>();
  for (const { key, value } of wanted(sysctls)) {
    try {
      const from = sysctls.read(key) ?? '';
      if (from !== value) changes.push({ key, from, to: value });
    } catch (error) {
      unreadable.set(key, toErrorRecord(error, 'ERR_SYSCTL'));
    }
  }
  return { changes, unreadable };
}

/** All of them, as if none were known. */
function allSysctls(sysctls: Sysctls): SysctlChange[] {
  return wanted(sysctls).map(({ key, value }) => ({ key, from: '', to: value }));
}

function wanted(sysctls: Sysctls): readonly WantedSysctl[] {
  return wantedSysctls(readable(sysctls, 'kernel/osrelease') ?? '');
}

function readable(sysctls: Sysctls, key: string): string | undefined {
  try {
    return sysctls.read(key);
  } catch {
    return undefined;
  }
}

function sysctlObject(key: string): string {
  return `sysctl ${key}`;
}

/** What to say of settings that are only reported, by object. */
function sysctlAdvice({ changes, unreadable }: SysctlCheck): Map<string, string> {
  const advice = new Map<string, string>();
  for (const { key, from, to } of changes) {
    const name = key.replaceAll('/', '.');
    const is = from === '' ? '' : `is ${from}, `;
    advice.set(sysctlObject(key), `${is}should be ${to}: sysctl -w ${name}=${to}`);
  }
  for (const [key, { message }] of unreadable) advice.set(sysctlObject(key), message);
  return advice;
}

const forwardingIPv6 = 'net/ipv6/conf/all/forwarding';

/** Settings that are the administrator's to make, by object: to forward IPv6 is to stop listening to router advertisements. */
function hostAdvice(sysctls: Sysctls, families: readonly IpFamily[]): Map<string, string> {
  const advice = new Map<string, string>();
  if (families.includes('IPv6') && readable(sysctls, forwardingIPv6) === '0') {
    advice.set(
      sysctlObject(forwardingIPv6),
      'is 0: IPv6 Services reach no endpoint on another node. It is not set here because it also ends router advertisements (accept_ra=2 keeps them): sysctl -w net.ipv6.conf.all.forwarding=1',
    );
  }
  return advice;
}

/** What failed is reported and tried again with the next full pass. */
function writeSysctl(sysctls: Sysctls, { key, from, to }: SysctlChange): ErrorRecord | undefined {
  try {
    if (from === '') throw new ProxierError('ERR_SYSCTL', `this kernel has no sysctl ${key.replaceAll('/', '.')}`);
    sysctls.write(key, to);
    return undefined;
  } catch (error) {
    return toErrorRecord(error, 'ERR_SYSCTL');
  }
}
