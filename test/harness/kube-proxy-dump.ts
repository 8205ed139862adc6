/** What the real kube-proxy 1.36.2 wrote for a manifest: the dumps of test/fixtures/kube-proxy-1.36.2. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ResourceKind } from '../../lib/kube/source.ts';
import type { Tables } from './kube-proxy-model.ts';
import { ruleLines } from './rule-lines.ts';

/** Where the manifests and dumps are. */
export const fixtureFolder: string = join(import.meta.dirname, '../../../test/fixtures/kube-proxy-1.36.2');

/** Those of which there are a manifest and a dump: more of them need no more than their files. */
export function fixtureNames(): readonly string[] {
  return readdirSync(fixtureFolder)
    .flatMap((file) => /^(.+)\.json$/.exec(file)?.[1] ?? [])
    .sort();
}

export interface KubeProxyDump extends Tables {
  /** `create` lines of `ipset save` as `name type family`, sorted; a bitmap has no family. */
  readonly created: readonly string[];
  /** `key = value` of the sysctl section. */
  readonly sysctls: ReadonlyMap<string, string>;
}

/** The objects of a manifest, as JSON. */
export function fixtureObjects(name: string): readonly { readonly kind: ResourceKind }[] {
  const list: { readonly items: readonly { readonly kind: ResourceKind }[] } = JSON.parse(
    readFileSync(join(fixtureFolder, `${name}.json`), 'utf8'),
  );
  return list.items;
}

/** The lines under a title, as the tool printed them. */
export function fixtureSection(name: string, title: string): string {
  return `${(fixtureSections(name).get(title) ?? []).join('\n')}\n`;
}

export function fixtureDump(name: string): KubeProxyDump {
  const sections = fixtureSections(name);
  const lines = (start: string): readonly string[] =>
    [...sections].filter(([title]) => title.startsWith(start)).flatMap(([, content]) => content);
  const ipset = lines('ipset save');
  return {
    ipvs: lines('ipvsadm -Sn')
      .filter((line) => line.startsWith('-'))
      .sort(),
    sets: ipset.filter((line) => line.startsWith('add ')).sort(),
    created: ipset
      .filter((line) => line.startsWith('create '))
      .map(createdSet)
      .sort(),
    addresses: lines('ip addr show')
      .flatMap((line) => /^\s+inet6? ([^/ ]+)\/\d+ scope global/.exec(line)?.[1] ?? [])
      .sort(),
    rules: new Map([
      ['IPv4', ruleLines(lines('iptables-save -t '))],
      ['IPv6', ruleLines(lines('ip6tables-save'))],
    ]),
    sysctls: new Map(
      lines('sysctl ').flatMap((line) => {
        const [key, value] = line.split(' = ');
        return key === undefined || value === undefined ? [] : [[key, value] as const];
      }),
    ),
  };
}

/** A `create` line of `ipset save` as `name type family`. */
export function createdSet(line: string): string {
  const [, name = '', type = ''] = line.split(' ');
  return [name, type, ...(/ family (inet6?) /.exec(line)?.slice(1) ?? [])].join(' ');
}

function fixtureSections(name: string): ReadonlyMap<string, readonly string[]> {
  const sections = new Map<string, string[]>();
  let current: string[] = [];
  for (const line of readFileSync(join(fixtureFolder, `${name}.txt`), 'utf8').split('\n')) {
    if (line.startsWith('##### ')) {
      current = [];
      sections.set(line.slice(6), current);
    } else if (line.trim() !== '') {
      current.push(line);
    }
  }
  return sections;
}
