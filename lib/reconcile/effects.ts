/** Everything the reconciler does to the world, as parameters: the real ones live in `worker-module.ts`, tests bring their own. */
import type { Iptables } from '../kernel/iptables.ts';
import type { KernelSession } from '../kernel/session.ts';
import type { Sysctls } from '../kernel/sysctl.ts';
import type { IpAddress } from '../types.ts';

export interface ReconcileEffects {
  /** Throws typed errors: no addon, no permission, no IPVS in this kernel. */
  openSession(): KernelSession;
  /** Finds the backend in use; rejects with ERR_IPTABLES or ERR_IPTABLES_CONFLICT. `probe`: may try by a write which one works. `signal`: gives up. */
  openIptables(options: { readonly probe: boolean; readonly signal?: AbortSignal }): Promise<Iptables>;
  readonly sysctls: Sysctls;
  /** Cores of this host: the size of its connection tracking goes by them. */
  readonly cores: number;
  /** Addresses of this host's interfaces that anybody may read; only a plan against nothing asks. */
  interfaceAddresses(): readonly IpAddress[];
  /** 0 (included) to 1 (excluded). */
  random(): number;
  /** Lets other requests be answered, between two slices of a long read. Absent: they wait. */
  turn?(): Promise<void>;
  /** For reports only: nothing is decided by it. */
  nowMicros(): number;
}
