/** `ipvs-proxier/kernel`: IPVS, ipset and addresses over netlink, in batches. Re-exports only. */
export { type Cidr, cidrContains, familyOf, parseAddress, parseCidr } from '../address.ts';
export * from '../errors.ts';
export type * from '../operations.ts';
export * from '../types.ts';
export { Batch, operationText } from './batch.ts';
export { BatchError } from './batch-error.ts';
export type { WatchOptions } from './change-watch.ts';
export {
  type CallOptions,
  type KernelClient,
  type KernelOptions,
  openKernel,
  type RunOptions,
} from './client.ts';
export type { ConntrackClient } from './client-conntrack.ts';
export type { IpsetClient } from './client-ipset.ts';
export type { IpvsClient } from './client-ipvs.ts';
export type { RouteClient } from './client-route.ts';
export { ipAddress } from './ip-address.ts';
export { detectIptables, type Iptables, type IptablesBackend, type IptablesOptions } from './iptables.ts';
export { openSession, type SessionOptions } from './linux-session.ts';
export type { RemoveConnectionsOptions, RemovedConnections } from './remove-connections.ts';
export { type SchedulerFlagName, schedulerFlagNames, schedulerFlags } from './scheduler-flags.ts';
export {
  type BatchOptions,
  type BatchResult,
  type Cursor,
  type GrownSet,
  type KernelSession,
  type Monitor,
  type OperationFailure,
  readAll,
} from './session.ts';
export { splitPrefix0 } from './set-entry.ts';
export { ProcSysctls, type Sysctls } from './sysctl.ts';
