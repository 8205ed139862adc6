/** The health check node port of a Service: no virtual service, a port that the filter lets through (behaviour.md 2.12). */
import type { ServicePortSpec } from '../../model/service-port.ts';
import { setName } from '../sets.ts';
import { type Frontend, noFrontend } from './frontend.ts';

/** It answers whatever addresses node ports answer on. */
export function healthCheck(port: ServicePortSpec): Frontend {
  const { healthCheckNodePort } = port.body;
  if (healthCheckNodePort === 0) return noFrontend;
  const set = setName('HEALTH-CHECK-NODE-PORT', port.family);
  return { ...noFrontend, entries: [{ set, entry: String(healthCheckNodePort) }] };
}
