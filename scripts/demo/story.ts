/** What the demo prints: chapters, remarks, figures, and claims, each of which was checked. */

const colours = process.env['DEMO_COLOUR'] === '1';
const paint = (code: number, text: string): string => (colours ? `\u001b[${code}m${text}\u001b[0m` : text);

export class Story {
  #chapter = 0;
  #claims = 0;
  readonly #untrue: string[] = [];

  title(text: string): void {
    write(`\n${paint(1, text)}\n`);
  }

  chapter(title: string): void {
    this.#chapter += 1;
    write(`\n${paint(1, `${this.#chapter}. ${title}`)}\n`);
  }

  say(...lines: readonly string[]): void {
    for (const line of lines) write(`   ${line}\n`);
  }

  /** Something that is only good when it is true; goes on either way, so that one run shows all that is wrong. */
  claim(text: string, isTrue: boolean, detail = ''): void {
    this.#claims += 1;
    if (!isTrue) this.#untrue.push(text);
    const mark = isTrue ? paint(32, '✓') : paint(31, '✗ NOT TRUE:');
    write(`   ${mark} ${text}${isTrue || detail === '' ? '' : `\n     ${detail.replaceAll('\n', '\n     ')}`}\n`);
  }

  /** Prints the sum; the exit status of the demo. */
  end(seconds: number): number {
    if (this.#untrue.length === 0) {
      this.title(`All ${this.#claims} claims were true. The demo took ${seconds.toFixed(0)} s.`);
      return 0;
    }
    this.title(`${this.#untrue.length} of ${this.#claims} claims were NOT true:`);
    this.say(...this.#untrue);
    return 1;
  }
}

function write(text: string): void {
  process.stdout.write(text);
}
