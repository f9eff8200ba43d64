/**
 * `npm run build:binary`: the command as one executable file for this system, `build/fileloft`. It is Node itself with
 * the bundled program inside (https://nodejs.org/api/single-executable-applications.html), and stores on a disk or S3.
 */
import { execFileSync } from 'node:child_process'
import { chmod, copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { build, type Plugin } from 'esbuild'
import { inject } from 'postject'

const root = join(import.meta.dirname, '../..')
const out = join(root, 'build')
const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }

/** What is too large, or cannot be, in one file: asking for it says so. */
const leftOut = /^(@google-cloud\/storage|@azure\/(storage-blob|identity)|@opentelemetry\/sdk-node)$/

const parts: Plugin = {
  name: 'parts of the executable',
  setup(builder) {
    builder.onResolve({ filter: leftOut }, ({ path }) => ({ path, namespace: 'left-out' }))
    builder.onLoad({ filter: /./, namespace: 'left-out' }, ({ path }) => ({
      contents: `throw new Error(${JSON.stringify(`The single executable has no ${path}; use the package or an image`)})`,
    }))
    builder.onLoad({ filter: /src\/node\/demo\/feature\.ts$/ }, () => ({
      contents: `throw new Error('The single executable has no page for FILELOFT_DEMO; use the package')`,
    }))
    builder.onLoad({ filter: /src\/node\/version\.ts$/ }, () => ({
      contents: `export const version = () => ${JSON.stringify(version)}`,
    }))
    builder.onLoad({ filter: /src\/node\/new-worker\.ts$/ }, () => ({
      contents: `
        import { getAsset } from 'node:sea'
        import { Worker } from 'node:worker_threads'
        export const newWorker = (options) => new Worker(getAsset('worker.js', 'utf8'), { ...options, eval: true })`,
    }))
  },
}

/** Bundles an entry as the CommonJS that both the executable's main program and `eval` in a worker take. */
async function bundle(entry: string, outfile: string): Promise<void> {
  await build({
    entryPoints: [join(root, entry)],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    minify: true,
    keepNames: true,
    plugins: [parts],
    logLevel: 'warning',
  })
}

await rm(out, { recursive: true, force: true })
await mkdir(out)
await bundle('scripts/binary/main.ts', join(out, 'main.js'))
await bundle('src/node/worker.ts', join(out, 'worker.js'))
const blob = join(out, 'program.blob')
const settings = { main: join(out, 'main.js'), output: blob, disableExperimentalSEAWarning: true, useCodeCache: true }
await writeFile(join(out, 'sea.json'), JSON.stringify({ ...settings, assets: { 'worker.js': join(out, 'worker.js') } }))
execFileSync(process.execPath, ['--experimental-sea-config', join(out, 'sea.json')], {
  stdio: ['ignore', 'ignore', 'inherit'],
})

const target = join(out, process.platform === 'win32' ? 'fileloft.exe' : 'fileloft')
await copyFile(process.execPath, target)
await chmod(target, 0o755)
await inject(target, 'NODE_SEA_BLOB', await readFile(blob), {
  sentinelFuse: 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2',
  ...(process.platform === 'darwin' && { machoSegmentName: 'NODE_SEA' }),
})
for (const file of ['main.js', 'worker.js', 'sea.json', 'program.blob']) await rm(join(out, file))
console.log(target)
