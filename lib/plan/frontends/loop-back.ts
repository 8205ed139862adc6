/** Not a frontend of its own: what lets a pod of this node reach itself through any of its Service's frontends (behaviour.md 2.7). */
import type { ServicePort } from '../../model/service-port.ts';
import { setName, tupleEntry } from '../sets.ts';
import { type Frontend, noFrontend } from './frontend.ts';

/** An entry for every endpoint of this node in any condition: connections outlive readiness. */
export function loopBack(port: ServicePort): Frontend {
  if (port.endpoints.everyLocal.length === 0) return noFrontend;
  const set = setName('LOOP-BACK', port.family);
  const entries = port.endpoints.everyLocal.map((endpoint) => ({
    set,
    entry: `${tupleEntry(endpoint.address, port.protocol, endpoint.port)},${endpoint.address}`,
  }));
  return { ...noFrontend, entries };
}
