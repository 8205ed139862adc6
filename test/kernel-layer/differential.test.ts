/**
 * Generated objects, both ways, against the tools that everybody trusts: we write and they read, they write and we read. One batch of about a
 * hundred objects to each call of a tool. Leaves nothing behind, and wants the IPVS table for itself.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { Batch } from '../../lib/kernel/batch.ts';
import { openSession } from '../../lib/kernel/linux-session.ts';
import { type KernelSession, readAll } from '../../lib/kernel/session.ts';
import type { LinkAddress } from '../../lib/types.ts';
import { addressBatches, addressText, jsonAddressText, readAddressText } from '../harness/arbitrary-addresses.ts';
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
import { runTool } from '../harness/run-tool.ts';

const LINK = 'differential0';
const PREFIX = 'DIFF-';
/** A kernel without IPVS or dummy links can do a part: TEST_DIFFERENTIAL=ipset. */
const tools = (process.env['TEST_DIFFERENTIAL'] ?? 'ipvsadm,ipset,ip').split(',');
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
});
