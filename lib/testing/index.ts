/** `ipvs-proxier/testing`: a kernel and an API server in memory, for embedders' own tests. Re-exports only. */
export type { Clock } from '../proxier/clock.ts';
export { FakeApiServer } from './fake-api-server.ts';
export { FakeIptables } from './fake-iptables.ts';
export { FakeKernel, type FakeKernelOptions, type FakeRead, type Fault } from './fake-kernel.ts';
export { type FakeNodeParts, fakeProxier } from './fake-proxier.ts';
export { FakeSysctls } from './fake-sysctls.ts';
export type { FakeService, FakeSet, FakeTables } from './fake-tables.ts';
