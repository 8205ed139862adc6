/** An object of any kind, projected. */
import type { Hooks } from './hooks.ts';
import { type NodeProjection, projectNode } from './node-projection.ts';
import type { PlaceTable } from './places.ts';
import { projectService, type ServiceProjection } from './service-projection.ts';
import { projectSlice, type SliceProjection } from './slice-projection.ts';
import type { ResourceKind } from './source.ts';

export type ProjectedObject =
  | { readonly kind: 'Service'; readonly projection: ServiceProjection }
  | { readonly kind: 'EndpointSlice'; readonly projection: SliceProjection }
  | { readonly kind: 'Node'; readonly projection: NodeProjection };

export interface ProjectObjectOptions {
  readonly nodeName: string;
  /** Default `rr`. */
  readonly scheduler?: string;
  readonly hooks?: Hooks;
  readonly places: PlaceTable;
}

/** Views are kept only for the hook that asks for them. */
export function projectObject(kind: ResourceKind, object: unknown, options: ProjectObjectOptions): ProjectedObject {
  const { nodeName, scheduler = 'rr', hooks = {}, places } = options;
  const withView = hooks.weightFor !== undefined;
  switch (kind) {
    case 'Service': {
      const { schedulerFor } = hooks;
      return { kind, projection: projectService(object, { scheduler, withView, schedulerFor }) };
    }
    case 'EndpointSlice':
      return { kind, projection: projectSlice(object, nodeName, { places, withView }) };
    case 'Node':
      return { kind, projection: projectNode(object, nodeName, withView) };
  }
}
