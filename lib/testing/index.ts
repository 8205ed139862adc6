/** `ipvs-proxier/testing`: a kernel and an API server in memory, for embedders' own tests. Re-exports only. */
export type { Clock } from '../proxier/clock.ts';
export { FakeApiServer } from './fake-api-server.ts';
export { fakeCleanup } from './fake-cleanup.ts';
export type { ErrnoName } from './fake-errors.ts';
export { FakeIptables } from './fake-iptables.ts';
export type { FakeService } from './fake-ipvs.ts';
export { FakeKernel, type FakeKernelOptions, type FakeRead, type Fault } from './fake-kernel.ts';
export { type FakeNodeParts, fakeProxier } from './fake-proxier.ts';
export type { FakeSet } from './fake-sets.ts';
export { FakeSysctls } from './fake-sysctls.ts';
export type { FakeTables } from './fake-tables.ts';
