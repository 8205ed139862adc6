/** `ipvs-proxier/kernel`: IPVS, ipset and addresses over netlink, in batches. Re-exports only. */
export { parseAddress, parseCidr } from '../address.ts';
export * from '../errors.ts';
export type * from '../operations.ts';
export * from '../types.ts';
export { Batch, operationText } from './batch.ts';
export {
  BatchError,
  type CallOptions,
  type IpsetClient,
  type IpvsClient,
  type KernelClient,
  type KernelOptions,
  openKernel,
  type RouteClient,
  type RunOptions,
  type VirtualServiceWithDestinations,
} from './client.ts';
export { detectIptables, type Iptables, type IptablesBackend, type IptablesOptions } from './iptables.ts';
export { openSession } from './linux-session.ts';
export { type BatchResult, type Cursor, type KernelSession, type OperationFailure, readAll } from './session.ts';
export { ProcSysctls, type Sysctls } from './sysctl.ts';
