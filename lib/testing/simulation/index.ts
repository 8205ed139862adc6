/** Simulated clusters, recordings and their replay: a part of `ipvs-proxier/testing`. Re-exports only. */
export { type RecordOptions, recordSources } from '../../kube/record-sources.ts';
export type { RecordingHeader } from '../../kube/recording-format.ts';
export { VirtualClock } from '../virtual-clock.ts';
export { churn, type SimulationEvent } from './churn.ts';
export type { ChurnKind, ChurnMix, ChurnOptions } from './churn-options.ts';
export type { ServiceMix, SimulatedClusterOptions } from './cluster-options.ts';
export {
  type OpenRecordingOptions,
  openRecording,
  type Recording,
  type ReplayCounts,
  type ReplaySource,
} from './open-recording.ts';
export type { PaceOptions } from './pace.ts';
export type { Percentiles } from './percentiles.ts';
export { type ReplayOptions, type ReplayResult, replay } from './replay.ts';
export { SeededRandom } from './seeded-random.ts';
export { type SimulatedCluster, simulateCluster } from './simulated-cluster.ts';
export { SimulatedSource, type SimulatedSourceOptions } from './simulated-source.ts';
