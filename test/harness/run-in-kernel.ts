/**
 * Runs test files in this one process, for starting node costs seconds in the test kernel:
 * `node --test-reporter=spec dist/test/harness/run-in-kernel.js [file or directory…]`. Default: all of test/kernel, test/traffic and test/chaos/kernel.
 * node:test sets the exit status.
 */
import assert from 'node:assert/strict';
import { readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';

const tests = resolve(import.meta.dirname, '..');

function testFiles(path: string): string[] {
  if (!statSync(path).isDirectory()) return [resolve(path)];
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.js'))
    .sort()
    .map((name) => resolve(path, name));
}

const named = process.argv.slice(2);
const files = (
  named.length > 0 ? named : ['kernel', 'traffic', 'chaos/kernel'].map((name) => join(tests, name))
).flatMap(testFiles);

test('there are test files', () => assert.notEqual(files.length, 0));
for (const file of files) await import(pathToFileURL(file).href);
