// Replays tapes of `evenkeel … --record DIR` through Dawn, WebGPU as Chrome has it.
//   node dawn.mjs NODE_MODULES_PARENT TAPE…     a line of JSON for each thing compared, on stdout
// A TAPE is a folder, or FOLDER:N: only launches alone, and of each kernel no more than N texts.
//
// First each launch of which the tape tells what its arguments held: alone, from what the engine gave it, so that
// errors don't add up. Then the tape from its beginning to its end, on buffers of Dawn's own, comparing what the
// engine read. A launch is within bounds when each element is off by at most LAUNCH of itself and LAUNCH of the
// array's largest; a readback of a whole run, RUN. Integers must be equal; so must NaN and infinities.
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const LAUNCH = 1e-5;
const RUN = 1e-3;
// Texels in a row of a texture that holds an argument (kernels/launch.rs).
const ROW = 1024;

const [parent, ...tapes] = process.argv.slice(2);
const { create, globals } = await import(pathToFileURL(`${parent}/node_modules/webgpu/index.js`));
Object.assign(globalThis, globals);
// Held in a global: Dawn dies when it is collected.
globalThis.gpu = create([]);

const say = (object) => console.log(JSON.stringify(object));
const adapter = await globalThis.gpu.requestAdapter();
if (!adapter) {
  say({ event: 'absent' });
  process.exit(0);
}
const features = ['subgroups', 'shader-f16'].filter((f) => adapter.features.has(f));
// No limits are asked for: WebGPU's defaults hold, as in a browser.
const device = await adapter.requestDevice({ requiredFeatures: features });
let uncaptured = '';
device.onuncapturederror = (e) => { uncaptured ||= e.error.message; };
const { info } = adapter;
say({
  event: 'adapter', name: info.description || info.device, vendor: info.vendor, architecture: info.architecture,
  features, subgroups: features.includes('subgroups') ? [info.subgroupMinSize, info.subgroupMaxSize] : null,
});

const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
const makeBuffer = (size, uses = usage) => device.createBuffer({ size, usage: uses });
const wholeTexels = (words) => Math.ceil(words / 4) * 4;

// By text; tapes share many.
const pipelines = new Map();

/** A tape's files. */
class Tape {
  constructor(folder) {
    this.folder = folder;
    this.data = fs.openSync(path.join(folder, 'data.bin'));
    const lines = fs.readFileSync(path.join(folder, 'tape.jsonl'), 'utf8').split('\n').filter(Boolean);
    this.events = lines.map((line) => JSON.parse(line));
    this.shaders = new Map(this.events.filter((e) => 'shader' in e).map((e) => [e.shader, e]));
  }

  /** `words` words at byte `at`; zeros behind them up to a whole texel. */
  words(at, words) {
    const bytes = new Uint8Array(wholeTexels(words) * 4);
    const got = fs.readSync(this.data, bytes, 0, words * 4, at);
    if (got !== words * 4) throw new Error(`${this.folder}/data.bin is cut short at ${at}`);
    return bytes;
  }

  /** Why this device can't have a text, or an empty word. */
  lacks(shader) {
    if (shader.f16 && !features.includes('shader-f16')) return 'no f16';
    if (!shader.subgroups) return '';
    if (!features.includes('subgroups')) return 'no subgroups';
    const [least, most] = shader.subgroups;
    // Written for one size; Mesa and SwiftShader have one, whatever range they tell.
    return least <= info.subgroupMinSize && info.subgroupMinSize <= most ? '' : `subgroups of ${info.subgroupMinSize}`;
  }

  /** The pipeline of a launch and the layout of its bindings. */
  async pipeline({ launch, args }) {
    const { entry, subgroups } = this.shaders.get(launch);
    // naga refuses `enable subgroups;`, Dawn wants it.
    const text = fs.readFileSync(path.join(this.folder, `${launch}.wgsl`), 'utf8');
    const code = (subgroups ? 'enable subgroups; ' : '') + text;
    const key = `${entry}\n${code}`;
    if (!pipelines.has(key)) {
      const module = device.createShaderModule({ code });
      const layout = device.createBindGroupLayout({ entries: args.map((arg, binding) => entryOf(arg.kind, binding)) });
      const pipelineLayout = device.createPipelineLayout({ bindGroupLayouts: [layout] });
      const pipeline = await device.createComputePipelineAsync({ layout: pipelineLayout, compute: { module, entryPoint: entry } });
      pipelines.set(key, { pipeline, layout });
    }
    return pipelines.get(key);
  }
}

function entryOf(kind, binding) {
  const base = { binding, visibility: GPUShaderStage.COMPUTE };
  if (kind === 'texels') return { ...base, storageTexture: { access: 'read-only', format: 'rgba32float' } };
  return { ...base, buffer: { type: { write: 'storage', read: 'read-only-storage', uniform: 'uniform' }[kind] } };
}

/** A texture that holds `words` words of a buffer from word `start`; the copy goes into `encoder`. */
function texels(encoder, buffer, start, words) {
  const count = wholeTexels(words) / 4;
  const rows = Math.ceil(count / ROW);
  const texture = device.createTexture({
    size: [ROW, rows], format: 'rgba32float', usage: GPUTextureUsage.STORAGE_BINDING | GPUTextureUsage.COPY_DST,
  });
  const copy = (row, height, width) => encoder.copyBufferToTexture(
    { buffer, offset: (start + row * ROW * 4) * 4, bytesPerRow: ROW * 16 }, { texture, origin: [0, row] }, [width, height]);
  const whole = Math.floor(count / ROW);
  if (whole > 0) copy(0, whole, ROW);
  if (count % ROW > 0) copy(whole, 1, count % ROW);
  return texture;
}

/** Runs a launch; `place(arg, i)` is the buffer and first word of argument i. What must be destroyed behind it. */
async function launch(tape, event, place) {
  const { pipeline, layout } = await tape.pipeline(event);
  const encoder = device.createCommandEncoder();
  const made = [];
  const entries = event.args.map((arg, binding) => {
    if (arg.kind === 'uniform') {
      const buffer = makeBuffer(32, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
      device.queue.writeBuffer(buffer, 0, new Uint32Array(arg.words));
      made.push(buffer);
      return { binding, resource: { buffer } };
    }
    const { buffer, start } = place(arg, binding);
    const { words } = arg.slice;
    if (arg.kind !== 'texels') return { binding, resource: { buffer, offset: start * 4, size: words * 4 } };
    const texture = texels(encoder, buffer, start, words);
    made.push(texture);
    return { binding, resource: texture.createView() };
  });
  const group = device.createBindGroup({ layout, entries });
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  pass.dispatchWorkgroups(...event.grid);
  pass.end();
  device.queue.submit([encoder.finish()]);
  return made;
}

async function read(buffer, start, words) {
  const staging = makeBuffer(words * 4, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, start * 4, staging, 0, words * 4);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const found = new Uint8Array(staging.getMappedRange()).slice();
  staging.destroy();
  return found;
}

/** How far `found` is from `expected` (bytes), in shares of what `bound` allows: 1 is the most that is right. */
function compare(expected, found, words, integer, bound) {
  const as = (bytes, Kind) => new Kind(bytes.buffer, 0, words);
  const [bits, foundBits] = [as(expected, Uint32Array), as(found, Uint32Array)];
  const [floats, foundFloats] = [as(expected, Float32Array), as(found, Float32Array)];
  let largest = 0;
  for (const v of floats) if (Number.isFinite(v)) largest = Math.max(largest, Math.abs(v));
  let [worst, at] = [0, -1];
  for (let i = 0; i < words; i++) {
    if (bits[i] === foundBits[i]) continue;
    const [e, f] = [floats[i], foundFloats[i]];
    if (Number.isNaN(e) && Number.isNaN(f)) continue;
    const off = integer ? Infinity : Math.abs(f - e) / (bound * (Math.abs(e) + largest));
    // What is no number is not within anything.
    if (!(off <= worst)) [worst, at] = [Number.isNaN(off) ? Infinity : off, i];
  }
  const told = at < 0 ? '' : integer ? `element ${at}: ${foundBits[at]}, not ${bits[at]}` : `element ${at}: ${foundFloats[at]}, not ${floats[at]}`;
  return { share: Math.min(worst, 1e30), told, values: [...foundFloats.slice(0, 32)], expected: [...floats.slice(0, 32)] };
}

/** One launch from what the engine gave it. */
async function alone(tape, event) {
  const shader = tape.shaders.get(event.launch);
  const buffers = event.args.map((arg, i) => {
    if (arg.kind === 'uniform') return null;
    const bytes = tape.words(event.before[i], arg.slice.words);
    const buffer = makeBuffer(bytes.length);
    device.queue.writeBuffer(buffer, 0, bytes);
    return buffer;
  });
  const made = await launch(tape, event, (_, i) => ({ buffer: buffers[i], start: 0 }));
  let worst = { share: 0, told: '' };
  for (const [i, arg] of event.args.entries()) {
    if (event.after[i] === null || event.after[i] === undefined) continue;
    const found = await read(buffers[i], 0, arg.slice.words);
    const expected = tape.words(event.after[i], arg.slice.words);
    const compared = compare(expected, found, arg.slice.words, shader.integers[i], LAUNCH);
    if (compared.share > worst.share) worst = { ...compared, told: `binding ${i}, ${compared.told}` };
  }
  [...buffers, ...made].forEach((thing) => thing?.destroy());
  return worst;
}

/** All of a tape, in its order; a line for each readback. */
async function whole(tape) {
  const buffers = new Map();
  let reads = 0;
  for (const event of tape.events) {
    if ('alloc' in event) buffers.set(event.alloc, makeBuffer(event.bytes));
    else if ('free' in event) buffers.get(event.free).destroy();
    else if ('write' in event) {
      const { buffer, start, words } = event.write;
      device.queue.writeBuffer(buffers.get(buffer), start * 4, tape.words(event.at, words), 0, words * 4);
    } else if ('launch' in event) {
      const made = await launch(tape, event, ({ slice }) => ({ buffer: buffers.get(slice.buffer), start: slice.start }));
      made.forEach((thing) => thing.destroy());
    } else if ('read' in event) {
      const { buffer, start, words } = event.read;
      const found = await read(buffers.get(buffer), start, words);
      const { share, told, values, expected } = compare(tape.words(event.at, words), found, words, false, RUN);
      say({ event: 'read', tape: tape.folder, read: reads++, words, ok: share <= 1 && !uncaptured, share, values, expected, message: uncaptured || told });
    }
  }
}

for (const name of tapes) {
  const [, folder, most] = name.match(/^(.*?)(?::(\d+))?$/);
  const tape = new Tape(folder);
  const texts = new Map();
  const lacking = [...tape.shaders.values()].map((s) => tape.lacks(s)).filter(Boolean);
  for (const event of tape.events.filter((e) => 'launch' in e && e.before)) {
    const { form } = tape.shaders.get(event.launch);
    const lacks = tape.lacks(tape.shaders.get(event.launch));
    const known = texts.get(form) ?? new Set();
    texts.set(form, known.add(event.launch));
    if (most && [...known].indexOf(event.launch) >= Number(most)) continue;
    if (lacks) {
      say({ event: 'launch', tape: folder, form, lacks });
      continue;
    }
    let result;
    try {
      const { share, told } = await alone(tape, event);
      result = { ok: share <= 1 && !uncaptured, share, message: uncaptured || told };
    } catch (e) {
      result = { ok: false, share: null, message: e.message };
    }
    uncaptured = '';
    say({ event: 'launch', tape: folder, shader: event.launch, form, ...result });
  }
  if (most) continue;
  if (lacking.length > 0) say({ event: 'whole', tape: folder, lacks: lacking[0] });
  else await whole(tape);
}
process.exit(0);
