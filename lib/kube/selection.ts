/** Which Services and EndpointSlices are this proxier's (behaviour.md 1.1): as a label selector, and as a predicate for files. */
import { isObject, objectOrEmpty } from './json.ts';
import { labelsOf } from './projection.ts';

const PROXY_NAME_LABEL = 'service.kubernetes.io/service-proxy-name';
const HEADLESS_LABEL = 'service.kubernetes.io/headless';

/** `serviceProxyName`: serve only what is labelled with this name. Absent: only what names no proxy at all. */
export function labelSelector(serviceProxyName?: string): string {
  const proxy = serviceProxyName === undefined ? `!${PROXY_NAME_LABEL}` : `${PROXY_NAME_LABEL}=${serviceProxyName}`;
  return `${proxy},!${HEADLESS_LABEL}`;
}

/** The same selection on one object. */
export function isSelected(object: unknown, serviceProxyName?: string): boolean {
  if (!isObject(object)) return true;
  const labels = labelsOf(objectOrEmpty(object['metadata']));
  return labels[PROXY_NAME_LABEL] === serviceProxyName && labels[HEADLESS_LABEL] === undefined;
}
