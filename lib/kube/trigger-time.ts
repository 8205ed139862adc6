/** When an EndpointSlice's last change was caused, as the cluster says it. */
import { type JsonObject, objectOrEmpty } from './json.ts';

const TRIGGER_ANNOTATION = 'endpoints.kubernetes.io/last-change-trigger-time';

/**
 * The time of the Pod or Service change that the EndpointSlice controller answered with this state, in ms since 1970; 0 = it does not say.
 * kube-proxy's `network_programming_duration_seconds` counts from the same.
 */
export function triggerTimeOf(metadata: JsonObject): number {
  const text = objectOrEmpty(metadata['annotations'])[TRIGGER_ANNOTATION];
  const ms = typeof text === 'string' ? Date.parse(text) : 0;
  return Number.isFinite(ms) ? Math.max(0, ms) : 0;
}
