/** Horizontal bars as SVG: one group a quantity, one bar a way, so that ratios can be seen without reading numbers. */
import { text } from './svg-text.ts';

export interface Bar {
  readonly label: string;
  readonly value: number;
  /** Drawn as a line across the bar. */
  readonly goal?: number;
}

export interface BarGroup {
  readonly title: string;
  readonly unit: string;
  readonly bars: readonly Bar[];
  readonly footnote?: string;
}

const width = 860;
const labelWidth = 290;
const barHeight = 18;
const gap = 6;
const colours = ['#7a8b99', '#2f6fab', '#c46f2a', '#4c8c4a', '#8a5fa8'];

/** Each group has its own scale, from zero. */
export function barPicture(heading: string, groups: readonly BarGroup[]): string {
  const lines: string[] = [];
  let y = 42;
  for (const group of groups) {
    lines.push(text(12, y, `${group.title} (${group.unit})`, 'font-weight="bold"'));
    y += 12;
    const longest = Math.max(...group.bars.map(({ value, goal = 0 }) => Math.max(value, goal)), Number.MIN_VALUE);
    const scale = (width - labelWidth - 90) / longest;
    group.bars.forEach(({ label, value, goal }, index) => {
      const length = Math.max(1, value * scale);
      lines.push(text(labelWidth - 8, y + 13, label, 'text-anchor="end"'));
      lines.push(
        `<rect x="${labelWidth}" y="${y}" width="${length.toFixed(1)}" height="${barHeight}" fill="${colours[index % colours.length]}"/>`,
      );
      if (goal !== undefined) {
        const x = (labelWidth + goal * scale).toFixed(1);
        lines.push(
          `<line x1="${x}" x2="${x}" y1="${y - 2}" y2="${y + barHeight + 2}" stroke="#b00020" stroke-width="2"/>`,
        );
      }
      lines.push(text(labelWidth + Math.max(length, (goal ?? 0) * scale) + 6, y + 13, value.toPrecision(3)));
      y += barHeight + gap;
    });
    if (group.footnote !== undefined) {
      lines.push(text(labelWidth, y + 10, group.footnote, 'font-size="10" fill="#555"'));
      y += 14;
    }
    y += 22;
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${y}" font-family="sans-serif" font-size="12">`,
    `<rect width="100%" height="100%" fill="white"/>`,
    text(12, 18, heading, 'font-size="11"'),
    ...lines,
    '</svg>',
    '',
  ].join('\n');
}
