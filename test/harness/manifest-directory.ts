/** A directory of manifests for one test: copies of examples/, and files the test writes and changes. */
import { copyFileSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const examples = resolve(import.meta.dirname, '../../../examples');

export class ManifestDirectory implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), 'manifests-'));

  /** @param names Files of examples/ to begin with. */
  constructor(...names: readonly string[]) {
    for (const name of names) copyFileSync(join(examples, name), join(this.path, name));
  }

  /** As editors and tools should: no reader ever sees half a file. */
  write(name: string, text: string): void {
    const whole = join(this.path, `.${name}.new`);
    writeFileSync(whole, text);
    renameSync(whole, join(this.path, name));
  }

  edit(name: string, change: (text: string) => string): void {
    const before = readFileSync(join(this.path, name), 'utf8');
    const after = change(before);
    if (after === before) throw new Error(`the edit of ${name} changes nothing`);
    this.write(name, after);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
