// What the page shows: line charts as SVG, and a row for each class. Numbers in, elements out.

const WIDTH = 440, HEIGHT = 230, LEFT = 40, RIGHT = 12, TOP = 10, BOTTOM = 26;

/** Round steps for an axis up to `most`. */
function ticks(most, wanted) {
  const rough = most / wanted, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find(f => f * power >= rough) * power;
  return Array.from({ length: Math.floor(most / step + 1e-9) + 1 }, (_, i) => i * step);
}

/**
 * A line chart. `lines`: { kind, points: [[x, y], …] }, kind being classes of the path; `x` and `y`: { most, text }, the
 * axis' end and how a number on it is written; `label` says what it is.
 */
export function chart(place, lines, x, y, label) {
  const across = v => LEFT + v / x.most * (WIDTH - LEFT - RIGHT);
  const up = v => HEIGHT - BOTTOM - Math.min(v, y.most) / y.most * (HEIGHT - TOP - BOTTOM);
  const rows = ticks(y.most, 4).map(v =>
    `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${up(v)}" y2="${up(v)}"/><text x="${LEFT - 6}" y="${up(v) + 4}" text-anchor="end">${y.text(v)}</text>`);
  const columns = ticks(x.most, 5).filter(Number.isInteger).map(v =>
    `<text x="${across(v)}" y="${HEIGHT - 8}" text-anchor="middle">${x.text(v)}</text>`);
  const paths = lines.filter(l => l.points.length).map(l =>
    `<path class="${l.kind}" d="M${l.points.map(([a, b]) => `${across(a).toFixed(1)} ${up(b).toFixed(1)}`).join('L')}"/>`);
  place.innerHTML = `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${label}">${rows.join('')}${columns.join('')}${paths.join('')}</svg>`;
}

/** A running mean that follows slowly, without a start from nothing. */
export function smooth(values, share = 0.1) {
  let sum = 0, weight = 0;
  return values.map(v => {
    sum = (1 - share) * sum + share * v;
    weight = (1 - share) * weight + share;
    return sum / weight;
  });
}

/** At most `most` of the points, evenly. */
export function thin(points, most = 400) {
  const every = Math.ceil(points.length / most);
  return points.filter((_, i) => i % every === 0 || i === points.length - 1);
}

const element = (name, kind, text = '') => Object.assign(document.createElement(name), { className: kind, textContent: text });

/** A row for each class: an image of it, its name and count, a bar for each network. Gives a function that sets them. */
export function classes(place, names, counts, example, side, networks) {
  const rows = names.map((name, c) => {
    const row = element('div', 'class'), picture = element('canvas', '');
    picture.width = picture.height = side;
    const pixels = example(c);
    if (pixels.length) picture.getContext('2d').putImageData(new ImageData(new Uint8ClampedArray(pixels), side), 0, 0);
    picture.setAttribute('aria-hidden', 'true');
    const bars = element('div', 'bars');
    const fills = networks.map(network => {
      const bar = element('div', `bar ${network}`), track = element('div', 'track'), fill = element('div', 'fill'), value = element('span', '', '–');
      track.append(fill);
      bar.append(track, value);
      bars.append(bar);
      return { fill, value };
    });
    row.append(picture, element('div', '', name), element('div', 'count soft', `${counts[c]} img`), bars);
    return { row, fills };
  });
  place.replaceChildren(...rows.map(r => r.row));
  return (accuracies) => rows.forEach(({ fills }, c) => fills.forEach(({ fill, value }, n) => {
    const share = accuracies[n]?.[c];
    if (share === undefined) return;
    fill.style.width = `${share * 100}%`;
    value.textContent = `${(share * 100).toFixed(0)} %`;
  }));
}
