/** The weights of a slice's endpoints: what the hook says, else what the annotations of the Service say, else 1. Pure but for the hook. */
import type { ObjectKey } from '../records.ts';
import { annotationField, MAX_WEIGHT, parseWeight, type WeightRules } from './annotations.ts';
import { type HookEndpoint, type NodeObject, type ServiceObject, shownResult, type WeightHook } from './hooks.ts';
import { printable, reasonOf, show } from './json.ts';
import type { SliceView } from './object-views.ts';
import type { Place } from './places.ts';

/** What weights need to know of a Node. */
export interface NodeFacts {
  /** Empty when unset. */
  readonly zone: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Only where there is a hook. */
  readonly view: NodeObject | undefined;
}

export interface WeightInputs {
  readonly service: ObjectKey;
  readonly rules: WeightRules | undefined;
  /** One for each endpoint. */
  readonly places: readonly Place[];
  /** Node by name. */
  readonly node: (name: string) => NodeFacts | undefined;
  /** All Nodes that will be known are: one that is not there is worth a word. */
  readonly nodesSynced: boolean;
  readonly hook: HookInputs | undefined;
}

export interface HookInputs {
  readonly weightFor: WeightHook;
  readonly service: ServiceObject;
  readonly slice: SliceView;
  /** Of the node that this proxier runs on. */
  readonly nodeName: string;
}

export interface Weights {
  /** Undefined when all are 1. */
  readonly weights: readonly number[] | undefined;
  readonly problems: readonly string[];
  /** What the hook did wrong, the first time; empty = nothing. */
  readonly hookProblem: string;
}

export function weigh(inputs: WeightInputs): Weights {
  const { places, hook } = inputs;
  const problems = new Set<string>();
  const byPlace = new Map<Place, number>();
  let hookProblem = '';
  let even = true;
  const weights = places.map((place, index) => {
    const endpoint = hook?.slice.endpoints[index];
    let weight: number | undefined;
    if (hook !== undefined && endpoint !== undefined) {
      const said = askHook(hook, endpoint, inputs.node(place.nodeName));
      weight = said.weight;
      if (hookProblem === '') hookProblem = said.problem;
    }
    weight ??= annotatedWeight(inputs, place, byPlace, problems);
    even &&= weight === 1;
    return weight;
  });
  return { weights: even ? undefined : weights, problems: [...problems], hookProblem };
}

/** Both annotations multiply: one says how strong a Node is, the other how much of a zone is wanted. */
function annotatedWeight(inputs: WeightInputs, place: Place, known: Map<Place, number>, problems: Set<string>): number {
  const { rules } = inputs;
  if (rules === undefined) return 1;
  const before = known.get(place);
  if (before !== undefined) return before;
  const weight = Math.min(
    zoneWeight(inputs, rules, place, problems) * nodeWeight(inputs, rules, place, problems),
    MAX_WEIGHT,
  );
  known.set(place, weight);
  return weight;
}

function zoneWeight(inputs: WeightInputs, { zones }: WeightRules, place: Place, problems: Set<string>): number {
  if (zones === undefined) return 1;
  const zone = place.zone === '' ? nodeOf(inputs, place, 'zone-weights', problems)?.zone : place.zone;
  return zone !== undefined && Object.hasOwn(zones, zone) ? (zones[zone] ?? 1) : 1;
}

function nodeWeight(inputs: WeightInputs, { nodeLabel }: WeightRules, place: Place, problems: Set<string>): number {
  if (nodeLabel === undefined) return 1;
  const labels = nodeOf(inputs, place, 'weight-node-label', problems)?.labels;
  if (labels === undefined || !Object.hasOwn(labels, nodeLabel)) return 1;
  const text = labels[nodeLabel] ?? '';
  const weight = parseWeight(text);
  if (weight !== undefined) return weight;
  problems.add(
    `label ${nodeLabel} of Node ${printable(place.nodeName)}: ${show(text)} is not a weight from 0 to ${MAX_WEIGHT}, as Service ${printable(inputs.service)} takes it for; its endpoints there weigh 1`,
  );
  return 1;
}

/** Undefined, with a problem where an annotation needs it, when the Node is not known. */
function nodeOf(
  inputs: WeightInputs,
  place: Place,
  annotation: 'zone-weights' | 'weight-node-label',
  problems: Set<string>,
): NodeFacts | undefined {
  if (place.nodeName === '') return undefined;
  const node = inputs.node(place.nodeName);
  if (node === undefined && inputs.nodesSynced) {
    problems.add(
      `${annotationField(annotation)} of Service ${printable(inputs.service)} needs Nodes of these endpoints that are not known here: endpoints on them weigh 1; let the source deliver all Nodes (option watchNodes: all)`,
    );
  }
  return node;
}

function askHook(
  hook: HookInputs,
  endpoint: HookEndpoint,
  node: NodeFacts | undefined,
): { readonly weight: number | undefined; readonly problem: string } {
  const { weightFor, service, slice, nodeName } = hook;
  const zone = node === undefined || node.zone === '' ? undefined : node.zone;
  const placed = endpoint.zone === undefined && zone !== undefined ? Object.freeze({ ...endpoint, zone }) : endpoint;
  try {
    const weight: unknown = weightFor(placed, { service, slice: slice.slice, node: node?.view, nodeName });
    if (weight === undefined) return { weight, problem: '' };
    if (typeof weight === 'number' && Number.isInteger(weight) && weight >= 0 && weight <= MAX_WEIGHT) {
      return { weight, problem: '' };
    }
    const problem = `weightFor gave ${shownResult(weight)} for ${endpoint.address}, which is not a whole number from 0 to ${MAX_WEIGHT} or undefined`;
    return { weight: undefined, problem: `${problem}; the annotations count` };
  } catch (error) {
    const problem = `weightFor threw for ${endpoint.address}: ${reasonOf(error)}; the annotations count`;
    return { weight: undefined, problem };
  }
}
