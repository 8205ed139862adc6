/** A KernelState as lines people know: `ipvsadm -Sn`, `ipset save` without the headers, bound addresses. For comparing and reading. */
import { hostPort, type KernelState } from '../../lib/plan/state.ts';
import { ServiceFlag } from '../../lib/types.ts';

export interface StateText {
  /** `ipvsadm -Sn`, sorted. */
  readonly ipvs: readonly string[];
  /** `add SET ENTRY`, sorted. */
  readonly sets: readonly string[];
  /** VIPs, however they are bound; sorted. */
  readonly addresses: readonly string[];
}

const protocolFlag = { tcp: '-t', udp: '-u', sctp: '--sctp-service' } as const;

export function stateText(state: KernelState): StateText {
  const ipvs: string[] = [];
  for (const { service, destinations } of state.services.values()) {
    const { key, scheduler, flags, timeoutSeconds } = service;
    const name = `${protocolFlag[key.protocol]} ${hostPort(key.address, key.port)}`;
    const persistent = (flags & ServiceFlag.persistent) === 0 ? '' : ` -p ${timeoutSeconds}`;
    const hashPort = (flags & ServiceFlag.sched2) === 0 ? '' : ' -b flag-2';
    ipvs.push(`-A ${name} -s ${scheduler}${persistent}${hashPort}`);
    for (const [id, { weight, forward }] of destinations) {
      ipvs.push(`-a ${name} -r ${id} ${forward === 'masquerade' ? '-m' : forward} -w ${weight}`);
    }
  }
  const sets = [...state.sets].flatMap(([set, entries]) => [...entries].map((entry) => `add ${set} ${entry}`));
  return {
    ipvs: ipvs.sort(),
    sets: sets.sort(),
    addresses: [...new Set([...state.addresses, ...state.routes])].sort(),
  };
}
