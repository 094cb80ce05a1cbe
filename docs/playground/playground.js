// The playground: sliders → x, γ, β, α → the project's WGSL on WebGPU → bars.
//
// launches.json (written by tools/playground from the kernels crate) says what to launch: files,
// constants, grid, arguments. The .wgsl files are fetched from the repository and joined as the crate
// joins them. Every result is compared with the plain JavaScript below.

const ROOT = new URL('../../', import.meta.url);
const N = 16, C = 8, EPS = 1e-5, NORM_EPS = 1e-6;
const $ = id => document.getElementById(id);
const files = new Map();

async function text(path) {
  if (!files.has(path)) {
    const reply = await fetch(new URL(path, ROOT));
    if (!reply.ok) throw new Error(`${path}: ${reply.status}`);
    files.set(path, await reply.text());
  }
  return files.get(path);
}

/** One launch's WGSL: constants, then the file with its includes, each file once. */
async function assemble(launch) {
  const literal = ([type, v]) => type === 'bool' ? `bool = ${v}`
    : type === 'f32' ? `f32 = ${v.toExponential()}f` : `${type} = ${v}${type[0]}`;
  const lines = Object.entries(launch.constants).map(([name, v]) => `const ${name}: ${literal(v)};`);
  const seen = new Set();
  async function include(path) {
    if (seen.has(path)) return;
    seen.add(path);
    for (const line of (await text(path)).split('\n')) {
      const name = line.trim().match(/^#include\s+"(.+)"/)?.[1];
      if (name) await include(launch.parts[name] ?? `shaders/${name}`);
      else if (line.startsWith('#input ')) lines.push(input(...line.split(/\s+/).slice(1)));
      else lines.push(line);
    }
  }
  await include(launch.file);
  return lines.join('\n');
}

/** The declarations behind `#input NAME BINDING TYPE [BINDING]`: a buffer read as NAME(i). */
function input(name, binding, type, again) {
  const length = again ? ` fn ${name}_length() -> u32 { return arrayLength(&${name}_data); }` : '';
  return `@group(0) @binding(${binding}) var<storage, read> ${name}_data: array<${type}>; `
    + `fn ${name}(i: u32) -> ${type} { return ${name}_data[i]; }${length}`;
}

/** A kernel ready to run: pipelines made once. */
async function prepare(device, kernel) {
  const pipelines = [];
  for (const launch of kernel.launches) {
    const module = device.createShaderModule({ code: await assemble(launch), label: launch.file });
    pipelines.push(await device.createComputePipelineAsync({
      layout: 'auto', compute: { module, entryPoint: launch.entry },
    }));
  }
  return { device, kernel, pipelines };
}

const USAGE = { storage: 0x80 | 0x4 | 0x8, read: 0x1 | 0x8 };

/** Runs a kernel on arrays; gives arrays of the lengths in `outputs`. */
async function run({ device, kernel, pipelines }, inputs, outputs) {
  const buffer = (words, data) => {
    const made = device.createBuffer({ size: words * 4, usage: USAGE.storage });
    if (data) device.queue.writeBuffer(made, 0, data);
    return made;
  };
  const places = {
    in: inputs.map(a => buffer(a.length, a)),
    out: outputs.map(n => buffer(n)),
    temp: kernel.temporary_words.map(n => buffer(n)),
  };
  const encoder = device.createCommandEncoder();
  kernel.launches.forEach((launch, i) => {
    const entries = launch.args.map(([kind, at], binding) => ({ binding, resource: { buffer: places[kind][at] } }));
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipelines[i]);
    // A binding that this pipeline doesn't use is not in its layout.
    pass.setBindGroup(0, bind(device, pipelines[i], entries, launch));
    pass.dispatchWorkgroups(...launch.grid);
    pass.end();
  });
  const reads = outputs.map(n => device.createBuffer({ size: n * 4, usage: USAGE.read }));
  reads.forEach((r, i) => encoder.copyBufferToBuffer(places.out[i], 0, r, 0, outputs[i] * 4));
  device.queue.submit([encoder.finish()]);
  const found = [];
  for (const r of reads) {
    await r.mapAsync(1);
    found.push(new Float32Array(r.getMappedRange().slice(0)));
    r.destroy();
  }
  Object.values(places).flat().forEach(b => b.destroy());
  return found;
}

function bind(device, pipeline, entries, launch) {
  const used = entries.filter(e => launch.used.includes(e.binding));
  return device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: used });
}

// --- the same in plain JavaScript ---

const norm = v => Math.hypot(...v);
const affine = (v, alpha) => alpha === null ? [...v] : [...v].map(g => alpha * g / (norm(v) + NORM_EPS));

function forward(x, gamma, beta, alpha) {
  const w = affine(gamma, alpha), b = affine(beta, alpha), y = new Float32Array(N * C), hat = new Float32Array(N * C), inv = [];
  for (let c = 0; c < C; c++) {
    const column = Array.from({ length: N }, (_, n) => x[n * C + c]);
    const mean = column.reduce((a, v) => a + v) / N;
    inv[c] = 1 / Math.sqrt(column.reduce((a, v) => a + (v - mean) ** 2, 0) / N + EPS);
    column.forEach((v, n) => { hat[n * C + c] = (v - mean) * inv[c]; y[n * C + c] = w[c] * hat[n * C + c] + b[c]; });
  }
  return { w, b, y, hat, inv };
}

function backward({ w, hat, inv }, dy, gamma, beta, alpha) {
  const sum = f => Array.from({ length: C }, (_, c) => Array.from({ length: N }, (_, n) => f(n * C + c)).reduce((a, v) => a + v));
  const uw = sum(i => dy[i] * hat[i]), ub = sum(i => dy[i]);
  const dx = dy.map((d, i) => w[i % C] * inv[i % C] * (d - ub[i % C] / N - hat[i] * uw[i % C] / N));
  const project = (v, u) => {
    if (alpha === null) return u;
    const n = norm(v), r = n + NORM_EPS, dot = v.reduce((a, x, i) => a + x * u[i], 0);
    return u.map((x, i) => n > 0 ? alpha / r * (x - dot * v[i] / (n * r)) : alpha / NORM_EPS * x);
  };
  return { dx, dgamma: project(gamma, uw), dbeta: project(beta, ub) };
}

function furthest(found, expected) {
  const size = Math.max(1e-6, ...expected.map(Math.abs));
  return Math.max(...expected.map((e, i) => Math.abs(found[i] - e))) / size;
}

// --- the page ---

function settings() {
  const value = Object.fromEntries(['rare', 'gamma', 'beta', 'alpha'].map(id => [id, Number($(id).value)]));
  for (const [id, v] of Object.entries(value)) $(id).parentElement.querySelector('output').textContent = v;
  const isRare = n => n >= N - value.rare, odd = c => c % 2 === 1;
  // A fixed zigzag stands for noise; a channel answers more to its own class.
  const noise = i => ((i * 37) % 29) / 29 - 0.5;
  const x = Float32Array.from({ length: N * C }, (_, i) => noise(i) + (isRare(Math.floor(i / C)) === odd(i % C) ? 1.5 : 0));
  const target = Float32Array.from({ length: N * C }, (_, i) => isRare(Math.floor(i / C)) === odd(i % C) ? 1 : 0);
  const gamma = Float32Array.from({ length: C }, (_, c) => (odd(c) ? 1 : value.gamma) * (1 + 0.1 * noise(c)));
  const beta = Float32Array.from({ length: C }, (_, c) => value.beta * (odd(c) ? -1 : 1) * (1 + 0.3 * noise(c + 3)));
  return { x, target, gamma, beta, alpha: value.alpha, isRare };
}

const short = v => Math.abs(v) >= 1000 || (v !== 0 && Math.abs(v) < 0.01) ? v.toExponential(1) : v.toFixed(2);

/** Bars of the channels, up or down from a line. */
function bars(caption, values) {
  const most = Math.max(1e-9, ...values.map(Math.abs)), down = values.some(v => v < 0), zero = down ? 34 : 60, scale = (down ? 26 : 52) / most;
  const draw = Array.from(values, (v, c) => {
    const h = Math.max(0.5, Math.abs(v) * scale), x = 8 + c * 39;
    return `<rect x="${x}" y="${v < 0 ? zero : zero - h}" width="28" height="${h}" opacity="${c % 2 ? 1 : 0.55}"><title>channel ${c} (${c % 2 ? 'rare' : 'frequent'}): ${v}</title></rect>
      <text x="${x + 14}" y="72" text-anchor="middle">${short(v)}</text>`;
  }).join('');
  return `<figure><figcaption>${caption}</figcaption><svg viewBox="0 0 324 76" role="img" aria-label="${caption}"><line x1="4" x2="320" y1="${zero}" y2="${zero}"/>${draw}</svg></figure>`;
}

function show(id, s, f, g) {
  const mean = keep => Array.from({ length: C }, (_, c) => {
    const rows = Array.from({ length: N }, (_, n) => n).filter(keep);
    return rows.reduce((a, n) => a + f.y[n * C + c], 0) / rows.length;
  });
  $(id).querySelector('div').innerHTML = bars('weight w in effect (pale: frequent channels)', f.w) + bars('bias b in effect', f.b)
    + bars('y, mean over the frequent class', mean(n => !s.isRare(n))) + bars('y, mean over the rare class', mean(s.isRare))
    + bars('gradient of γ', g.dgamma) + bars('gradient of β', g.dbeta);
}

async function start() {
  if (!navigator.gpu) throw new Error('this browser has no WebGPU. Chrome and Edge from 113, Safari from 26 and Firefox from 141 have it, some on some systems only');
  const adapter = await navigator.gpu.requestAdapter();
  if (!adapter) throw new Error('this browser found no WebGPU adapter');
  const device = await adapter.requestDevice();
  const launches = JSON.parse(await text('docs/playground/launches.json'));
  const ready = {};
  for (const name of Object.keys(launches)) ready[name] = await prepare(device, launches[name]);
  let turn = 0;
  async function update() {
    const mine = ++turn, s = settings();
    let worst = 0;
    for (const [id, alpha] of [['bn', null], ['nbn', s.alpha]]) {
      const parameters = alpha === null ? [s.gamma, s.beta] : [s.gamma, s.beta, Float32Array.of(alpha)];
      const [y, saved] = await run(ready[`${id}_forward`], [s.x, ...parameters], [N * C, 2 * C, C, C]);
      const dy = y.map((v, i) => v - s.target[i]);
      const outputs = alpha === null ? [N * C, C, C] : [N * C, C, C, 1];
      const [dx, dgamma, dbeta] = await run(ready[`${id}_backward`], [dy, s.x, saved, ...parameters], outputs);
      if (mine !== turn) return;
      const f = forward(s.x, s.gamma, s.beta, alpha), g = backward(f, Array.from(dy), Array.from(s.gamma), Array.from(s.beta), alpha);
      worst = Math.max(worst, furthest(y, Array.from(f.y)), furthest(dx, g.dx), furthest(dgamma, g.dgamma), furthest(dbeta, g.dbeta));
      show(id, s, { ...f, y }, { dx, dgamma, dbeta });
    }
    const agrees = worst < 1e-3 ? 'agrees with' : 'DIFFERS from';
    $('state').textContent = `WebGPU ${agrees} plain JavaScript (largest relative difference ${worst.toExponential(1)})`;
  }
  document.querySelector('form').addEventListener('input', update);
  await update();
}

start().catch(e => { $('state').textContent = `It doesn't run here: ${e.message}`; });
