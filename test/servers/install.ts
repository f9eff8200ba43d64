/**
 * `npm run servers`: builds the servers that npm does not bring, each at its pinned version, with Go. It does
 * nothing for one that is there already; the first time takes about ten minutes on two cores.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, cp, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  examplesPath,
  type GoProgram,
  type GoProgramName,
  goPrograms,
  programPath,
  serversDirectory,
} from './versions.ts'

const directory = serversDirectory()
await mkdir(directory, { recursive: true })
// One after the other: each build takes all cores, and they share much of what they are made of.
for (const name of Object.keys(goPrograms) as GoProgramName[]) {
  await install(name)
  await keepExamples(name)
}

async function install(name: GoProgramName): Promise<void> {
  const { title, path, version } = goPrograms[name]
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
    await goInstall(`${path}@${version}`, scratch)
    const [built] = await readdir(scratch)
    if (built === undefined) throw new Error(`go install ${path}@${version} left no program`)
    await rename(join(scratch, built), target)
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
  console.log(`${title} ${version}: built in ${Math.round((performance.now() - since) / 1000)} s`)
}

async function goInstall(target: string, bin: string): Promise<void> {
  await go(['install', '-trimpath', '-ldflags=-s -w', target], bin)
}

/** Copies the examples from the module's source, which building has brought. */
async function keepExamples(name: GoProgramName): Promise<void> {
  const { title, version, examples }: GoProgram = goPrograms[name]
  const target = examplesPath(name)
  if (examples === undefined || existsSync(target)) return
  const scratch = await mkdtemp(join(directory, '.build-'))
  try {
    const source = JSON.parse(await go(['mod', 'download', '-json', `${examples.module}@${version}`], scratch)) as {
      Dir: string
    }
    const copy = join(scratch, 'examples')
    await cp(join(source.Dir, examples.folder), copy, { recursive: true })
    // Modules are kept without the right to write or to run them.
    await chmod(copy, 0o755)
    for (const entry of await readdir(copy, { recursive: true })) await chmod(join(copy, entry), 0o755)
    await rename(copy, target)
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
  console.log(`${title} ${version}: its examples kept`)
}

/** What it writes. */
async function go(args: readonly string[], bin: string): Promise<string> {
  // From the folder of the result: outside of every module, so that no go.mod or go.work has a say.
  const child = spawn('go', args, {
    cwd: bin,
    env: { ...process.env, GOBIN: bin, GOWORK: 'off' },
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
