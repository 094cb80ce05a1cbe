// Dawn's Tint validates WGSL, uniformity included, with no driver (the null backend).
// Lines of JSON on stdin, {"id", "path", "entry", "features"}; one line each on stdout, {"id", "ok", "message"}.
import fs from 'node:fs';
import { pathToFileURL } from 'node:url';

const { create } = await import(pathToFileURL(`${process.argv[2]}/node_modules/webgpu/index.js`));
// Held in a global: Dawn dies when it is collected.
globalThis.gpu = create(['backend=null']);
// A device for each set of features that a kernel says it needs. No limits are asked for: WebGPU's defaults hold.
const devices = new Map();
async function deviceWith(features) {
  const key = features.join();
  if (!devices.has(key)) {
    const names = features.map((f) => (f === 'f16' ? 'shader-f16' : f));
    // An adapter gives one device.
    const adapter = await globalThis.gpu.requestAdapter();
    devices.set(key, await adapter.requestDevice({ requiredFeatures: names }));
  }
  return devices.get(key);
}

for (const line of fs.readFileSync(0, 'utf8').split('\n').filter(Boolean)) {
  const { id, path, entry, features } = JSON.parse(line);
  // naga refuses `enable subgroups;`, Dawn wants it.
  const enable = features.includes('subgroups') ? 'enable subgroups; ' : '';
  const code = enable + fs.readFileSync(path, 'utf8');
  const device = await deviceWith(features);
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ code });
  const info = await module.getCompilationInfo();
  const errors = info.messages.filter((m) => m.type === 'error');
  let message = errors.map((m) => `${m.lineNum}:${m.linePos} ${m.message}`).join('\n');
  // The pipeline brings in the limits: storage buffers, workgroup size and memory.
  if (!message) device.createComputePipeline({ layout: 'auto', compute: { module, entryPoint: entry } });
  const error = await device.popErrorScope();
  message ||= error?.message ?? '';
  console.log(JSON.stringify({ id, ok: message === '', message }));
}
process.exit(0);
