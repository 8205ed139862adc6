/** A KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1) as a cluster has it, YAML or JSON. */
import { readFile } from 'node:fs/promises';
import { InvalidArgumentError } from '../../errors.ts';
import { readYaml } from '../../kube/yaml.ts';
import { nearestWord } from '../../nearest-word.ts';
import { allSettings } from './all-settings.ts';
import type { Draft } from './draft.ts';
import { isZero } from './kind.ts';
import { type Setting, shown } from './setting.ts';

const API_VERSION = 'kubeproxy.config.k8s.io/v1alpha1';
const KIND = 'KubeProxyConfiguration';

const byField: ReadonlyMap<string, Setting> = new Map(
  allSettings.flatMap((setting) => (setting.field === undefined ? [] : [[setting.field, setting] as const])),
);
const groups: ReadonlySet<string> = new Set(
  [...byField.keys()].flatMap((field) => field.split('.').map((_part, index, all) => all.slice(0, index).join('.'))),
);

/**
 * Puts what the file says into the draft, and what nothing comes of into its notices.
 *
 * @throws InvalidArgumentError naming the file, the field, the value and what is allowed.
 */
export async function readConfiguration(path: string, draft: Draft): Promise<void> {
  const root = rootOf(path, await contentOf(path));
  walk(path, root, '', draft);
  if (isZero(root['mode'])) {
    const origin = `${path}: mode`;
    const message = `${origin} is empty, which kube-proxy takes for iptables; ipvs-proxier works in IPVS mode`;
    draft.notices.push({ origin, message, isHarmless: true });
  }
}

async function contentOf(path: string): Promise<unknown> {
  let content: string;
  try {
    content = await readFile(path, 'utf8');
  } catch (error) {
    throw new InvalidArgumentError('--config', `${path} cannot be read: ${messageOf(error)}`);
  }
  try {
    return readYaml(content);
  } catch (error) {
    throw new InvalidArgumentError('--config', `${path} is neither YAML nor JSON: ${messageOf(error)}`);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function rootOf(path: string, content: unknown): Readonly<Record<string, unknown>> {
  if (!isObject(content)) {
    throw new InvalidArgumentError(
      '--config',
      `${path} holds no object; a ${KIND} begins with apiVersion: ${API_VERSION}`,
    );
  }
  const { apiVersion, kind } = content;
  if (kind === 'ConfigMap') {
    throw new InvalidArgumentError(
      '--config',
      `${path} is a ConfigMap: take the file out of it (kubectl -n kube-system get configmap kube-proxy -o 'jsonpath={.data.config\\.conf}')`,
    );
  }
  if (apiVersion !== API_VERSION || kind !== KIND) {
    throw new InvalidArgumentError(
      '--config',
      `${path} is ${shown(kind)} of ${shown(apiVersion)}; it has to be ${KIND} of ${API_VERSION}`,
    );
  }
  return content;
}

function walk(path: string, object: Readonly<Record<string, unknown>>, prefix: string, draft: Draft): void {
  for (const [key, value] of Object.entries(object)) {
    const field = prefix === '' ? key : `${prefix}.${key}`;
    if (field === 'apiVersion' || field === 'kind') continue;
    const origin = `${path}: ${field}`;
    const setting = byField.get(field);
    if (setting !== undefined) {
      const take = setting.fromField(value);
      if (take === undefined) throw new InvalidArgumentError(origin, `${shown(value)} is not ${setting.allowed}`);
      take(draft, origin);
    } else if (groups.has(field) && (isObject(value) || value === null)) {
      walk(path, value ?? {}, field, draft);
    } else if (groups.has(field)) {
      throw new InvalidArgumentError(origin, `${shown(value)} is not an object`);
    } else {
      const near = nearestWord(field, [...byField.keys()]);
      const message = `${origin} ${shown(value)}: there is no such field${near === undefined ? '' : `; did you mean ${near}?`}`;
      draft.notices.push({ origin, message });
    }
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
