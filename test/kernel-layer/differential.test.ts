/**
 * Generated objects, both ways, against the tools that everybody trusts: we write and they read, they write and we read. One batch of about a
 * hundred objects to each call of a tool. Leaves nothing behind, and wants the tables of IPVS and of connections for itself.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { Batch } from '../../lib/kernel/batch.ts';
import { openSession } from '../../lib/kernel/linux-session.ts';
import { type KernelSession, readAll } from '../../lib/kernel/session.ts';
import type { LinkAddress, LocalRoute } from '../../lib/types.ts';
import { addressBatches, addressText, jsonAddressText, readAddressText } from '../harness/arbitrary-addresses.ts';
import {
  connectionBatches,
  connectionLine,
  type GeneratedConnection,
  listedConnection,
  savedConnection,
} from '../harness/arbitrary-connections.ts';
import { entryText, type GeneratedSet, savedLines, setBatches, setText } from '../harness/arbitrary-ipset.ts';
import {
  destinationText,
  type GeneratedService,
  serviceBatches,
  serviceText,
  thresholdsText,
  withUnsignedMarks,
} from '../harness/arbitrary-ipvs.ts';
import { holds, sameLines } from '../harness/arbitrary-kernel.ts';
import { jsonRouteText, routeBatches, routeText } from '../harness/arbitrary-routes.ts';
import { runTool } from '../harness/run-tool.ts';

const LINK = 'differential0';
const PREFIX = 'DIFF-';
/** A kernel without IPVS or dummy links can do a part: TEST_DIFFERENTIAL=ipset. */
const tools = (process.env['TEST_DIFFERENTIAL'] ?? 'ipvsadm,ipset,ip,conntrack').split(',');
const unlessLeftOut = (tool: string) => ({ skip: tools.includes(tool) ? false : 'left out by TEST_DIFFERENTIAL' });
const lines = (text: string) =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');

describe('what we write and read, and what the tools read and write', () => {
  let session: KernelSession;
  const ok = (batch: Batch): void => assert.deepEqual(session.run(batch).failures, []);

  before(() => {
    session = openSession();
  });
  after(() => session.close());

  describe('ipvsadm', unlessLeftOut('ipvsadm'), () => {
    const clear = () => runTool('ipvsadm', ['-C']);
    before(clear);
    after(clear);
    const wantedText = (services: readonly GeneratedService[], end = thresholdsText): readonly string[] =>
      services.flatMap(({ service, destinations }) => [
        serviceText(service),
        ...destinations.map((destination) => `${destinationText(service.key, destination)}${end(destination)}`),
      ]);
    const readBack = (): readonly string[] =>
      readAll(session.services()).flatMap((service) => [
        serviceText(service),
        ...readAll(session.destinations(service.key)).map(
          (destination) => `${destinationText(service.key, destination)}${thresholdsText(destination)}`,
        ),
      ]);
    const removeAll = (services: readonly GeneratedService[]): void => {
      const batch = new Batch();
      for (const { service } of services) batch.removeService(service.key);
      ok(batch);
      assert.deepEqual(readAll(session.services()), []);
    };

    test('we write, it reads', async (context) => {
      await holds(context, 4, serviceBatches, async (services) => {
        const batch = new Batch();
        for (const { service, destinations } of services) {
          batch.createService(service);
          for (const destination of destinations) batch.createDestination(service.key, destination);
        }
        ok(batch);
        sameLines(
          lines(await runTool('ipvsadm', ['-Sn'])).map(withUnsignedMarks),
          wantedText(services, () => ''),
        );
        sameLines(readBack(), wantedText(services));
        removeAll(services);
      });
    });

    test('it writes, we read', async (context) => {
      await holds(context, 4, serviceBatches, async (services) => {
        await runTool('ipvsadm', ['-R'], { input: `${wantedText(services).join('\n')}\n` });
        sameLines(readBack(), wantedText(services));
        removeAll(services);
      });
    });
  });

  describe('ipset', unlessLeftOut('ipset'), () => {
    const wantedText = (sets: readonly GeneratedSet[]): readonly string[] =>
      sets.flatMap(({ set, entries }) => [setText(set), ...entries.map((entry) => entryText(set.name, entry))]);
    const readBack = (): readonly string[] =>
      readAll(session.sets())
        .filter(({ name }) => name.startsWith(PREFIX))
        .flatMap((set) => [
          setText(set),
          ...readAll(session.entries(set.name)).map((entry) => entryText(set.name, entry)),
        ]);
    const removeAll = (sets: readonly GeneratedSet[]): void => {
      const batch = new Batch();
      for (const { set } of sets) batch.removeSet(set.name);
      ok(batch);
      assert.deepEqual(readBack(), []);
    };

    test('we write, it reads', async (context) => {
      await holds(context, 4, setBatches(PREFIX), async (sets) => {
        const batch = new Batch();
        for (const { set, entries } of sets) {
          batch.createSet(set);
          for (const entry of entries) batch.addEntry(set, entry);
        }
        ok(batch);
        sameLines(savedLines(await runTool('ipset', ['save']), PREFIX), wantedText(sets));
        sameLines(readBack(), wantedText(sets));
        removeAll(sets);
      });
    });

    test('it writes, we read', async (context) => {
      await holds(context, 4, setBatches(PREFIX), async (sets) => {
        await runTool('ipset', ['restore'], { input: `${wantedText(sets).join('\n')}\n` });
        sameLines(readBack(), wantedText(sets));
        removeAll(sets);
      });
    });
  });

  describe('ip', unlessLeftOut('ip'), () => {
    beforeEach(() => ok(new Batch().removeLink(LINK).ensureLink(LINK)));
    after(() => ok(new Batch().removeLink(LINK)));
    const readBack = (): readonly string[] =>
      readAll(session.addresses())
        .filter(({ link }) => link === LINK)
        .map(readAddressText);
    const removeAll = (addresses: readonly LinkAddress[]): void => {
      const batch = new Batch();
      for (const { link, address, prefixLength } of addresses) batch.removeAddress(link, address, prefixLength);
      ok(batch);
      assert.deepEqual(readBack(), []);
    };

    test('we write, it reads', async (context) => {
      await holds(context, 2, addressBatches(LINK), async (addresses) => {
        const batch = new Batch();
        for (const address of addresses) batch.addAddress(address);
        ok(batch);
        const shown: unknown = JSON.parse(await runTool('ip', ['-j', 'addr', 'show', 'dev', LINK]));
        assert.ok(Array.isArray(shown));
        const infos: readonly Record<string, unknown>[] = shown.flatMap(({ addr_info: info = [] }) => info);
        sameLines(
          infos.map((info) => jsonAddressText(LINK, info)),
          addresses.map(addressText),
        );
        sameLines(readBack(), addresses.map(addressText));
        removeAll(addresses);
      });
    });

    test('it writes, we read', async (context) => {
      await holds(context, 2, addressBatches(LINK), async (addresses) => {
        const input = addresses.map((address) => `addr add ${addressText(address)}\n`).join('');
        await runTool('ip', ['-batch', '-'], { input });
        sameLines(readBack(), addresses.map(addressText));
        removeAll(addresses);
      });
    });
  });

  describe('ip route', unlessLeftOut('ip'), () => {
    before(async () => {
      ok(new Batch().removeLink(LINK).ensureLink(LINK));
      await runTool('ip', ['-batch', '-'], { input: `link set lo up\nlink set ${LINK} up\n` });
    });
    after(() => ok(new Batch().removeLink(LINK)));
    const readBack = (): readonly string[] =>
      readAll(session.localRoutes())
        .filter(({ protocol }) => protocol >= 4)
        .map(routeText);
    const shown = async (): Promise<readonly string[]> => {
      const both = await Promise.all(
        ['-4', '-6'].map((family) => runTool('ip', ['-N', '-j', family, 'route', 'show', 'table', 'local'])),
      );
      return both.flatMap((text) => {
        const routes: unknown = JSON.parse(text);
        assert.ok(Array.isArray(routes));
        return routes.map(jsonRouteText).filter((line) => line !== undefined);
      });
    };
    const removeAll = (routes: readonly LocalRoute[]): void => {
      const batch = new Batch();
      for (const route of routes) batch.removeLocalRoute(route);
      ok(batch);
      assert.deepEqual(readBack(), []);
    };

    test('we write, it reads', async (context) => {
      await holds(context, 2, routeBatches(LINK), async (routes) => {
        const batch = new Batch();
        // Twice: what is there exactly so is no failure.
        for (const route of [...routes, ...routes]) batch.addLocalRoute(route);
        ok(batch);
        sameLines(await shown(), routes.map(routeText));
        sameLines(readBack(), routes.map(routeText));
        removeAll(routes);
        assert.deepEqual(await shown(), []);
      });
    });

    test('it writes, we read', async (context) => {
      await holds(context, 2, routeBatches(LINK), async (routes) => {
        const input = routes.map((route) => `route append local ${routeText(route)}\n`).join('');
        await runTool('ip', ['-batch', '-'], { input });
        sameLines(readBack(), routes.map(routeText));
        removeAll(routes);
      });
    });
  });

  describe('conntrack', unlessLeftOut('conntrack'), () => {
    const clear = () => runTool('conntrack', ['-F']);
    before(clear);
    after(clear);
    const shown = async (): Promise<readonly string[]> =>
      lines(await runTool('conntrack', ['-L'])).map(listedConnection);
    const readBack = (): readonly string[] => readAll(session.connections()).map(connectionLine);
    const write = (connections: readonly GeneratedConnection[]): Promise<string> =>
      runTool('conntrack', ['-R', '/proc/self/fd/0'], {
        input: connections.map((one) => `${savedConnection(one)}\n`).join(''),
      });

    test('it writes, we read', async (context) => {
      await holds(context, 2, connectionBatches(), async (connections) => {
        await write(connections);
        sameLines(readBack(), connections.map(connectionLine));
        await clear();
      });
    });

    test('we remove, by either direction, and it reads what is left', async (context) => {
      await holds(context, 2, connectionBatches(), async (connections) => {
        await write(connections);
        let left: readonly GeneratedConnection[] = connections;
        for (const direction of ['original', 'reply'] as const) {
          const going = left.filter((_one, index) => index % 2 === 0);
          const batch = new Batch();
          for (const connection of going) batch.removeConnection(connection[direction]);
          ok(batch);
          left = left.filter((one) => !going.includes(one));
          sameLines(await shown(), left.map(connectionLine));
          sameLines(readBack(), left.map(connectionLine));
        }
        await clear();
      });
    });
  });
});
