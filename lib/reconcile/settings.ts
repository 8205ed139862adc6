/** The kernel settings of behaviour.md 5.2 and 5.4: written, or only reported. */
import { type ErrorRecord, ProxierError, toErrorRecord } from '../errors.ts';
import type { Sysctls } from '../kernel/sysctl.ts';
import { type WantedSysctl, wantedSysctls } from '../plan/sysctls.ts';
import type { ReconcileEffects } from './effects.ts';
import { hostAdvice, readable, sysctlObject } from './host-advice.ts';
import type { PlanResult, ReconcileInit } from './protocol.ts';
import type { Tally } from './tally.ts';

type SettingsInit = Pick<ReconcileInit, 'families' | 'applySysctls' | 'syncPeriodMs' | 'strictARP' | 'conntrack'>;

export class Settings {
  readonly #init: SettingsInit;
  readonly #sysctls: Sysctls;
  readonly #cores: number;

  constructor(init: SettingsInit, effects: Pick<ReconcileEffects, 'sysctls' | 'cores'>) {
    this.#init = init;
    this.#sysctls = effects.sysctls;
    this.#cores = effects.cores;
  }

  /** Writes what is wrong. Returns what is to be said of the rest, by object. */
  mend(tally: Tally): ReadonlyMap<string, string> {
    const { families, applySysctls, syncPeriodMs } = this.#init;
    const check = this.#check();
    const advice = hostAdvice(this.#sysctls, families);
    if (!applySysctls) return new Map([...sysctlAdvice(check), ...advice]);
    const failures = new Map(check.unreadable);
    for (const change of check.changes) {
      const error = writeSysctl(this.#sysctls, change);
      if (error === undefined) tally.sysctlsWritten += 1;
      else failures.set(change.wanted, error);
    }
    for (const [{ key, tuning }, error] of failures) {
      const object = sysctlObject(key);
      if (tuning === true) advice.set(object, error.message);
      else tally.failures.push({ object, operation: 'sysctl', error, attempts: 1, retryInMs: syncPeriodMs });
    }
    return advice;
  }

  /** What {@link mend} would write and say; against nothing, as if nothing were known. */
  plan(against: PlanResult['against']): Pick<PlanResult, 'sysctls' | 'warnings'> {
    const { families, applySysctls } = this.#init;
    const isKnown = against === 'kernel';
    const check = isKnown ? this.#check() : this.#unknown();
    const advice = applySysctls ? sysctlAdvice({ ...check, changes: [] }) : sysctlAdvice(check);
    const forHost = isKnown ? hostAdvice(this.#sysctls, families) : [];
    return {
      sysctls: applySysctls
        ? check.changes.map(({ wanted, from }) => ({ key: wanted.key, from, to: wanted.value }))
        : [],
      warnings: [...advice, ...forHost].map(([object, message]) => `${object}: ${message}`),
    };
  }

  /** Never throws: what cannot be read is named, and the rest is as good as ever. */
  #check(): SysctlCheck {
    const changes: SysctlChange[] = [];
    const unreadable = new Map<WantedSysctl, ErrorRecord>();
    for (const wanted of this.#wanted()) {
      try {
        const from = this.#sysctls.read(wanted.key) ?? '';
        if (!isRight(from, wanted)) changes.push({ wanted, from });
      } catch (error) {
        unreadable.set(wanted, toErrorRecord(error, 'ERR_SYSCTL'));
      }
    }
    return { changes, unreadable };
  }

  /** All of them, as if none were known. */
  #unknown(): SysctlCheck {
    return { changes: this.#wanted().map((wanted) => ({ wanted, from: '' })), unreadable: new Map() };
  }

  #wanted(): readonly WantedSysctl[] {
    const { strictARP, conntrack } = this.#init;
    const kernelRelease = readable(this.#sysctls, 'kernel/osrelease') ?? '';
    return wantedSysctls({
      ...{ kernelRelease, strictARP, cores: this.#cores },
      ...(conntrack === undefined ? {} : { conntrack }),
    });
  }
}

interface SysctlChange {
  readonly wanted: WantedSysctl;
  /** Empty when this kernel does not have it. */
  readonly from: string;
}

interface SysctlCheck {
  /** The settings that are not as they should be. */
  readonly changes: readonly SysctlChange[];
  /** Those that cannot be read, and why. */
  readonly unreadable: ReadonlyMap<WantedSysctl, ErrorRecord>;
}

function isRight(is: string, { value, atLeast }: WantedSysctl): boolean {
  return is === value || (atLeast === true && Number(is) >= Number(value));
}

/** What to say of settings that are only reported, by object. */
function sysctlAdvice({ changes, unreadable }: SysctlCheck): Map<string, string> {
  const advice = new Map<string, string>();
  for (const { wanted, from } of changes) {
    const name = wanted.key.replaceAll('/', '.');
    const is = from === '' ? '' : `is ${from}, `;
    advice.set(sysctlObject(wanted.key), `${is}should be ${wanted.value}: sysctl -w ${name}=${wanted.value}`);
  }
  for (const [{ key }, { message }] of unreadable) advice.set(sysctlObject(key), message);
  return advice;
}

/** What failed is reported and tried again with the next full pass. */
function writeSysctl(sysctls: Sysctls, { wanted, from }: SysctlChange): ErrorRecord | undefined {
  try {
    if (from === '')
      throw new ProxierError('ERR_SYSCTL', `this kernel has no sysctl ${wanted.key.replaceAll('/', '.')}`);
    sysctls.write(wanted.key, wanted.value);
    return undefined;
  } catch (error) {
    return toErrorRecord(error, 'ERR_SYSCTL');
  }
}
