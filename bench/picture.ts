/** Horizontal bars as SVG: one group a measurement, one bar a way, so that ratios can be seen without reading numbers. */

export interface Bar {
  readonly label: string;
  readonly value: number;
}

export interface BarGroup {
  readonly title: string;
  readonly unit: string;
  readonly bars: readonly Bar[];
}

const width = 760;
const labelWidth = 290;
const barHeight = 18;
const gap = 6;
const colours = ['#7a8b99', '#2f6fab', '#c46f2a', '#4c8c4a'];

/** Each group has its own scale, from zero. */
export function barPicture(heading: string, groups: readonly BarGroup[]): string {
  const lines: string[] = [];
  let y = 34;
  for (const group of groups) {
    lines.push(text(12, y, `${group.title} (${group.unit})`, 'font-weight="bold"'));
    y += 12;
    const longest = Math.max(...group.bars.map((bar) => bar.value), Number.MIN_VALUE);
    group.bars.forEach((bar, index) => {
      const length = Math.max(1, (bar.value / longest) * (width - labelWidth - 90));
      lines.push(text(labelWidth - 8, y + 13, bar.label, 'text-anchor="end"'));
      lines.push(
        `<rect x="${labelWidth}" y="${y}" width="${length.toFixed(1)}" height="${barHeight}" fill="${colours[index % colours.length]}"/>`,
      );
      lines.push(text(labelWidth + length + 6, y + 13, bar.value.toPrecision(3)));
      y += barHeight + gap;
    });
    y += 22;
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${y}" font-family="sans-serif" font-size="12">`,
    `<rect width="100%" height="100%" fill="white"/>`,
    text(12, 18, heading, 'font-size="14"'),
    ...lines,
    '</svg>',
    '',
  ].join('\n');
}

function text(x: number, y: number, content: string, attributes = ''): string {
  const safe = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x.toFixed(1)}" y="${y}" ${attributes}>${safe}</text>`;
}
