/**
 * `npm run build:binary`: the command as one executable file for this system, `build/fileloft`. It is Node itself with
 * the bundled program inside (https://nodejs.org/api/single-executable-applications.html), and stores on a disk or S3.
 * `npm run build:binary -- --with bun`: Bun with the program inside, by `bun build --compile`.
 */
import { execFileSync } from 'node:child_process'
import { chmod, copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { build, type Plugin } from 'esbuild'
import { inject } from 'postject'

const root = join(import.meta.dirname, '../..')
const out = join(root, 'build')
const { values } = parseArgs({ options: { with: { type: 'string', default: 'node' } } })
if (values.with !== 'node' && values.with !== 'bun') throw new Error(`--with is node or bun, not ${values.with}`)
const withBun = values.with === 'bun'
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
    // The names of these modules are made as it runs: each is to be in the bundle.
    builder.onLoad({ filter: /src\/node\/metrics\/process\.ts$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8')
      const names = /const figures = \[([^\]]*)\]/.exec(text)?.[1]?.match(/\w+/g) ?? []
      const modules = names.map((name) => `${name}: require('prom-client/lib/metrics/${name}.js')`)
      const byName = text.replace(
        /\(await import\(`prom-client[^`]*`\)\)/,
        `({ default: ({ ${modules.join()} })[name] })`,
      )
      if (byName === text || modules.length === 0) throw new Error(`${path} does not load its figures as it did`)
      return { contents: byName, loader: 'ts' }
    })
    builder.onLoad({ filter: /src\/node\/version\.ts$/ }, () => ({
      contents: `export const version = () => ${JSON.stringify(version)}`,
    }))
    builder.onLoad({ filter: /src\/node\/new-worker\.ts$/ }, () => ({
      contents: withBun
        ? `export const newWorker = () => { throw new Error('On Bun there is one thread') }`
        : `
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

const target = join(out, process.platform === 'win32' ? 'fileloft.exe' : 'fileloft')
await rm(out, { recursive: true, force: true })
await mkdir(out)
await bundle('scripts/binary/main.ts', join(out, 'main.js'))
if (withBun) await compile()
else await embed()
await rm(join(out, 'main.js'))
console.log(target)

async function compile(): Promise<void> {
  const bun = join(root, 'node_modules/bun/bin/bun.exe')
  execFileSync(bun, ['build', '--compile', '--bytecode', join(out, 'main.js'), '--outfile', target], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
}

async function embed(): Promise<void> {
  await bundle('src/node/worker.ts', join(out, 'worker.js'))
  const blob = join(out, 'program.blob')
  const settings = { main: join(out, 'main.js'), output: blob, disableExperimentalSEAWarning: true, useCodeCache: true }
  await writeFile(
    join(out, 'sea.json'),
    JSON.stringify({ ...settings, assets: { 'worker.js': join(out, 'worker.js') } }),
  )
  execFileSync(process.execPath, ['--experimental-sea-config', join(out, 'sea.json')], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })

  await copyFile(process.execPath, target)
  await chmod(target, 0o755)
  await inject(target, 'NODE_SEA_BLOB', await readFile(blob), {
    sentinelFuse: 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2',
    ...(process.platform === 'darwin' && { machoSegmentName: 'NODE_SEA' }),
  })
  for (const file of ['worker.js', 'sea.json', 'program.blob']) await rm(join(out, file))
}
