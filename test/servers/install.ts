/**
 * `npm run servers`: builds the servers that npm does not bring, each at its pinned version, with Go. It does
 * nothing for one that is there already; the first time takes about fifteen minutes on two cores.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, cp, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  examplesPath,
  type GoProgram,
  type GoProgramName,
  goPrograms,
  programPath,
  serversDirectory,
} from './versions.ts'

const small = ['-trimpath', '-ldflags=-s -w']
const directory = serversDirectory()
await mkdir(directory, { recursive: true })
// One after the other: each build takes all cores, and they share much of what they are made of.
for (const name of Object.keys(goPrograms) as GoProgramName[]) {
  await install(name)
  await keepExamples(name)
}

async function install(name: GoProgramName): Promise<void> {
  const { title, version }: GoProgram = goPrograms[name]
  const target = programPath(name)
  if (existsSync(target)) {
    console.log(`${title} ${version}: there`)
    return
  }
  console.log(`${title} ${version}: building …`)
  const since = performance.now()
  // In the same folder, so that it comes to its place in one step: a build that was broken off leaves nothing there.
  const scratch = await mkdtemp(join(directory, '.build-'))
  try {
    await rename(await build(goPrograms[name], scratch), target)
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
  console.log(`${title} ${version}: built in ${Math.round((performance.now() - since) / 1000)} s`)
}

/** Where in `scratch` the program is then. */
async function build({ path, version, replacingModule }: GoProgram, scratch: string): Promise<string> {
  if (replacingModule !== undefined) {
    const built = join(scratch, 'built')
    const source = join(scratch, 'source')
    await copySource(replacingModule, version, '', source)
    await go(['build', ...small, '-o', built, `.${path.slice(replacingModule.length)}`], source)
    return built
  }
  await go(['install', ...small, `${path}@${version}`], scratch)
  const [built] = await readdir(scratch)
  if (built === undefined) throw new Error(`go install ${path}@${version} left no program`)
  return join(scratch, built)
}

/** Copies a folder of a module. */
async function copySource(module: string, version: string, folder: string, target: string): Promise<void> {
  const told = await go(['mod', 'download', '-json', `${module}@${version}`], dirname(target))
  const { Dir } = JSON.parse(told) as { readonly Dir: string }
  await cp(join(Dir, folder), target, { recursive: true })
  // Modules are kept without the right to write or to run them.
  await chmod(target, 0o755)
  for (const entry of await readdir(target, { recursive: true })) await chmod(join(target, entry), 0o755)
}

/** Copies the examples from the module's source, which building has brought. */
async function keepExamples(name: GoProgramName): Promise<void> {
  const { title, version, examples }: GoProgram = goPrograms[name]
  const target = examplesPath(name)
  if (examples === undefined || existsSync(target)) return
  const scratch = await mkdtemp(join(directory, '.build-'))
  try {
    const copy = join(scratch, 'examples')
    await copySource(examples.module, version, examples.folder, copy)
    await rename(copy, target)
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
  console.log(`${title} ${version}: its examples kept`)
}

/** What it writes. @param folder Of the result, outside of every module, or of the module that is built. */
async function go(args: readonly string[], folder: string): Promise<string> {
  const child = spawn('go', args, {
    cwd: folder,
    env: { ...process.env, GOBIN: folder, GOWORK: 'off' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => void (output += text))
  let code: unknown
  try {
    ;[code] = await once(child, 'close')
  } catch (error) {
    throw new Error('Building the servers takes Go (https://go.dev/doc/install), as `go` on the PATH', { cause: error })
  }
  if (code !== 0) throw new Error(`go ${args.join(' ')} failed`)
  return output
}
