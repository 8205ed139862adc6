/** `ipvs-proxier`: Kubernetes Services on Linux IPVS, embeddable. Re-exports only. */
export { type Cidr, cidrContains, familyOf, parseAddress, parseCidr } from './address.ts';
export {
  type ErrorCode,
  type ErrorRecord,
  InvalidArgumentError,
  NetlinkError,
  type NetlinkErrorDetails,
  ProxierError,
} from './errors.ts';
export { ApiSource, type ApiSourceOptions } from './kube/api-source.ts';
export type { ApiCredentials, KubeAuth, KubeConfigOption } from './kube/credentials.ts';
export type {
  EndpointSliceObject,
  HookEndpoint,
  NodeObject,
  ObjectMetadata,
  SchedulerChoice,
  SchedulerFlag,
  SchedulerHook,
  ServiceObject,
  TargetRef,
  WeightContext,
  WeightHook,
} from './kube/hooks.ts';
export type { JsonObject } from './kube/json.ts';
export { ManifestSource, type ManifestSourceOptions } from './kube/manifest-source.ts';
export { ObjectSource, type ObjectSourceOptions } from './kube/object-source.ts';
export type { ResourceKind, Source, SourceConnection, SourceProblem, SourceSink } from './kube/source.ts';
export type { ChangeLatency } from './proxier/change-ledger.ts';
export { type CleanupOptions, cleanup } from './proxier/cleanup.ts';
export type { DrainedEndpoint, DrainOptions } from './proxier/endpoint-drains.ts';
export type {
  ConnectionEvent,
  ContestedEvent,
  DrainedEvent,
  DriftEvent,
  ForeignEvent,
  ProxierEventName,
  ProxierEvents,
  ProxierListener,
  SyncEvent,
  WarningEvent,
} from './proxier/events.ts';
export type { ProxierHealth, SourceHealth, Waiting } from './proxier/health.ts';
export type { Explanation, ProxierStatus, StatusOptions } from './proxier/inquiry.ts';
export type { LatencySummary } from './proxier/latency.ts';
export type { DetectLocalOption, ProxierOptions, ProxierOrigin, ProxierSettings } from './proxier/options.ts';
export { type PlanOptions, Proxier, type ProxierHandle } from './proxier/proxier.ts';
export type { ProxierStatistics, WaitingChange } from './proxier/statistics.ts';
export type { TriedRevision, WaitOptions } from './proxier/wait-for.ts';
export type {
  ExplainedKind,
  ExplainedPort,
  ExplainedService,
  HistoryEntry,
  HistoryKind,
  ObjectContest,
  ObjectFailure,
  ObjectState,
  ObjectStatus,
  RecorderUse,
  StateCounts,
  StatusAnswer as ReconcilerStatus,
} from './reconcile/answers.ts';
export type { CleanupFailure, CleanupReport } from './reconcile/cleanup.ts';
export type {
  ContestFinding,
  DriftCounts,
  PlannedOperation,
  PlanResult as Plan,
  SyncFailure,
  SyncReport,
  UdpCleaning,
} from './reconcile/protocol.ts';
export type * from './types.ts';
