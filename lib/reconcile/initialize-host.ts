/** What needs more than CAP_NET_ADMIN, done once and left (behaviour.md 5.5): a process without it finds it right, and writes none of it. */
import type { ErrorRecord } from '../errors.ts';
import { Batch } from '../kernel/batch.ts';
import type { Sysctls } from '../kernel/sysctl.ts';
import type { ReconcileEffects } from './effects.ts';
import type { ReconcileInit } from './protocol.ts';
import { Settings } from './settings.ts';
import { Tally } from './tally.ts';
import { errorOf } from './writer.ts';

export interface InitializeReport {
  /** `sysctl net.ipv4.vs.conntrack = 1` */
  readonly written: readonly string[];
  readonly failures: readonly { readonly object: string; readonly error: ErrorRecord }[];
  /** What could not be set and is not needed, by object. */
  readonly advice: ReadonlyMap<string, string>;
}

type Effects = Pick<ReconcileEffects, 'openSession' | 'sysctls' | 'cores'>;

/** Loads IPVS, sets the sysctls and the time-outs. Throws when the kernel has no IPVS, or this process may not ask. */
export function initializeHost(init: ReconcileInit, effects: Effects): InitializeReport {
  const session = effects.openSession();
  const tally = new Tally();
  try {
    // Asking loads the module, and the module brings its sysctls.
    session.info();
    const written: string[] = [];
    const advice = new Settings(init, { ...effects, sysctls: recorded(effects.sysctls, written) }).mend(tally);
    const failures = tally.failures.map(({ object, error }) => ({ object, error }));
    const { tcpSeconds, tcpFinSeconds, udpSeconds } = init.ipvsTimeouts;
    if (tcpSeconds + tcpFinSeconds + udpSeconds > 0) {
      const [failure] = session.run(new Batch(1).setTimeouts(init.ipvsTimeouts)).failures;
      if (failure === undefined) written.push(`ipvsadm --set ${tcpSeconds} ${tcpFinSeconds} ${udpSeconds}`);
      else failures.push({ object: 'timeouts', error: errorOf(failure) });
    }
    return { written, failures, advice };
  } finally {
    session.close();
  }
}

function recorded(sysctls: Sysctls, written: string[]): Sysctls {
  return {
    read: (key) => sysctls.read(key),
    write(key, value) {
      sysctls.write(key, value);
      written.push(`sysctl -w ${key.replaceAll('/', '.')}=${value}`);
    },
  };
}
