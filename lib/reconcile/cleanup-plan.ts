/** What `cleanup` removes, in which order, and what it leaves alone. Pure. */
import type { IptablesBackend } from '../kernel/iptables.ts';
import type { Operation } from '../operations.ts';
import { ownershipOf } from '../plan/ledger.ts';
import { isIptablesModeChain, isIpvsModeChain, type OwnChain, ruleRemoval } from '../plan/rule-removal.ts';
import { setIdOf, tupleSetIds } from '../plan/sets.ts';
import { serviceId } from '../plan/state.ts';
import type { IpFamily } from '../types.ts';
import { probeKey, vipLink } from './observed.ts';
import type { Traces } from './traces.ts';

/** `iptables-save` output of one backend and family. */
export interface SavedRules {
  readonly backend: IptablesBackend;
  readonly family: IpFamily;
  readonly text: string;
}

export interface CleanupPlan {
  /**
   * In this order, each after the one before was tried: no packet finds its way to a VIP any more; then the virtual services; then the
   * rules, which use the sets; then the sets, which tell for as long as they are there whose a virtual service is.
   */
  readonly unbind: readonly Operation[];
  readonly services: readonly Operation[];
  readonly rules: readonly SavedRules[];
  readonly sets: readonly Operation[];
  /** What is there and stays, and why. */
  readonly left: readonly string[];
}

export interface CleanupScope {
  /** The chains of kube-proxy's iptables mode too. */
  readonly fromIptablesMode: boolean;
}

export function cleanupPlan(traces: Traces, saved: readonly SavedRules[], scope: CleanupScope): CleanupPlan {
  const left: string[] = [];
  const unbind = unbinding(traces, left);
  const services = serviceRemovals(traces, left);
  const rules = saved.flatMap(({ backend, family, text }) => {
    const removal = ruleRemoval(text, ownChains(scope));
    left.push(...removal.kept.map((chain) => `${family} chain ${chain} (${backend})`));
    return removal.text === undefined ? [] : [{ backend, family, text: removal.text }];
  });
  const sets = traces.sets.map(({ name }): Operation => ({ verb: 'remove-set', name }));
  return { unbind, services, rules, sets, left };
}

function ownChains({ fromIptablesMode }: CleanupScope): OwnChain {
  return (table, chain) => isIpvsModeChain(table, chain) || (fromIptablesMode && isIptablesModeChain(table, chain));
}

function unbinding({ link, routes }: Traces, left: string[]): Operation[] {
  const operations: Operation[] = routes.map((route) => ({ verb: 'remove-local-route', route }));
  if (link?.kind === 'dummy') operations.push({ verb: 'remove-link', name: vipLink });
  else if (link !== undefined) {
    left.push(`link ${vipLink} is ${link.kind === '' ? 'physical' : `a ${link.kind}`} and no dummy: not ours`);
  }
  return operations;
}

function serviceRemovals(traces: Traces, left: string[]): Operation[] {
  const isOurLink = traces.link?.kind === 'dummy';
  const routed = traces.routes.map(({ address }) => address);
  const ledger = {
    sets: traces.entries,
    vipAddresses: new Set([...(isOurLink ? traces.boundAddresses : []), ...routed]),
    interfaceAddresses: traces.interfaceAddresses,
  };
  const operations: Operation[] = [];
  for (const key of traces.services) {
    if (ownershipOf(key, ledger) === 'ours') operations.push({ verb: 'remove-service', key });
    else left.push(`virtual service ${serviceId(key)} is somebody else's`);
  }
  left.push(...traces.fwmarks.map((service) => `virtual service ${service} is somebody else's`));
  if (traces.isProbeLeft) operations.push({ verb: 'remove-service', key: probeKey });
  return operations;
}

/** A set that tells of a virtual service whose it is: without it a second clean-up would take what is still there for somebody else's. */
export function isLedgerSet(name: string): boolean {
  const id = setIdOf(name)?.id;
  return id !== undefined && (tupleSetIds.includes(id) || id.startsWith('NODE-PORT'));
}
