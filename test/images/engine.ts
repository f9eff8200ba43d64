/** Builds the images and runs them: with Docker where there is one, else with a builder that `IMAGE_BUILD` names. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { missing } from '../servers/versions.ts'

export interface Engine {
  /** Builds the image of a backend and resolves to its name. */
  build(backend: string): Promise<string>
  /** Its configuration, as Docker writes it. */
  inspect(image: string): Promise<ImageConfig>
  /** Bytes that its layers have above those of the base, uncompressed. */
  sizeAboveBase(image: string): Promise<number>
  /** Starts what it runs, with a read-only root filesystem; `volume` is a folder of this machine. */
  run(image: string, volume: string, env: Readonly<Record<string, string>>): Promise<RunningImage>
}

export interface ImageConfig {
  readonly User: string
  readonly Env: readonly string[]
  readonly Entrypoint: readonly string[]
  readonly ExposedPorts: Readonly<Record<string, object>>
  readonly Volumes: Readonly<Record<string, object>>
  readonly Labels: Readonly<Record<string, string>>
  readonly Healthcheck?: { readonly Test: readonly string[] }
}

export interface RunningImage extends AsyncDisposable {
  /** What it has written to stdout and stderr. */
  log(): string
  /** Resolves when the log has it; rejects when the container ends first. */
  logged(pattern: RegExp): Promise<void>
  /** Runs a command inside, as the user of the image, and resolves to its exit code and output. */
  exec(command: readonly string[]): Promise<{ readonly code: number; readonly output: string }>
  /** As `docker stop` begins. */
  terminate(): void
  /** Resolves with the exit code. */
  readonly exited: Promise<number | null>
}

const run = promisify(execFile)
const root = resolve(import.meta.dirname, '../..')
const runner = resolve(import.meta.dirname, 'run-image.sh')
const base = 'docker.io/library/debian:trixie-slim'
const nameOf = (backend: string) => `fileloft-test:${backend}`
const buildArgs = (backend: string) => ['--build-arg', `BACKEND=${backend}`, '-t', nameOf(backend), '.']

/**
 * What there is; null, after a line on how to get it, where there is none, and where `TEST_IMAGES=none` says to do without.
 * @throws Error in CI
 */
export async function findEngine(): Promise<Engine | null> {
  if (process.env['TEST_IMAGES'] === 'none') return null
  const builder = process.env['IMAGE_BUILD']
  if (builder !== undefined && builder !== '') return builderEngine(builder)
  const docker = await run('docker', ['info']).catch(() => null)
  return docker === null ? missing('A container engine', 'installing Docker') : dockerEngine
}

const dockerEngine: Engine = {
  async build(backend) {
    await run('docker', ['build', ...buildArgs(backend)], { cwd: root, maxBuffer: Infinity })
    return nameOf(backend)
  },
  inspect: async (image) => (await dockerInspect(image)).Config,
  async sizeAboveBase(image) {
    await run('docker', ['pull', '--quiet', base])
    return (await dockerInspect(image)).Size - (await dockerInspect(base)).Size
  },
  run(image, volume, env) {
    const name = `fileloft-test-${crypto.randomUUID()}`
    const place = ['--network', 'host', '--read-only', '--tmpfs', '/tmp', '-v', `${volume}:/var/lib/fileloft`]
    const variables = Object.entries(env).flatMap(([key, value]) => ['--env', `${key}=${value}`])
    const security = ['--security-opt', 'no-new-privileges', '--cap-drop', 'ALL']
    const child = start('docker', ['run', '--rm', '--name', name, ...place, ...security, ...variables, image])
    return Promise.resolve({
      ...child,
      exec: (command) => outcome('docker', ['exec', name, ...command]),
      terminate: () => void execFile('docker', ['kill', '--signal', 'TERM', name]),
      async [Symbol.asyncDispose]() {
        await outcome('docker', ['kill', name])
        await child.exited
      },
    })
  },
}

async function dockerInspect(image: string): Promise<{ Config: ImageConfig; Size: number }> {
  const { stdout } = await run('docker', ['image', 'inspect', image])
  const [found] = JSON.parse(stdout) as { Config: ImageConfig; Size: number }[]
  if (found === undefined) throw new Error(`no image ${image}`)
  return found
}

function builderEngine(builder: string): Engine {
  return {
    async build(backend) {
      const options = ['--', '--layers', '--format', 'docker', ...buildArgs(backend)]
      await run(builder, options, { cwd: root, maxBuffer: Infinity })
      return nameOf(backend)
    },
    inspect: async (image) => (await buildahInspect(image)).config,
    async sizeAboveBase(image) {
      const ofBase = (await buildahInspect(base)).layers.length
      return (await buildahInspect(image)).layers.slice(ofBase).reduce((sum, { size }) => sum + size, 0)
    },
    async run(image, volume, env) {
      const variables = Object.entries(env).map(([key, value]) => `${key}=${value}`)
      // Ended together with this process, however that ends.
      const child = start('setpriv', ['--pdeathsig', 'TERM', runner, image, volume, ...variables])
      await child.logged(/^pid \d+$/m).catch(() => undefined)
      const pid = /^pid (\d+)$/m.exec(child.log())?.[1] ?? ''
      const { User, Env } = (await buildahInspect(image)).config
      const [uid = '', gid = ''] = User.split(':')
      const enter = ['-t', pid, '-m', '-p', '-r', '-w', '-S', uid, '-G', gid, 'env', '-i', ...Env, ...variables]
      return {
        ...child,
        exec: (command) => outcome('nsenter', [...enter, ...command]),
        terminate: () => void child.process.kill('SIGTERM'),
        async [Symbol.asyncDispose]() {
          child.process.kill('SIGINT')
          await child.exited
        },
      }
    },
  }
}

async function buildahInspect(image: string): Promise<{ config: ImageConfig; layers: { size: number }[] }> {
  const { stdout } = await run('buildah', ['inspect', '--type', 'image', image], { maxBuffer: Infinity })
  const { Docker, Manifest } = JSON.parse(stdout) as { Docker: { config: ImageConfig }; Manifest: string }
  return { config: Docker.config, layers: (JSON.parse(Manifest) as { layers: { size: number }[] }).layers }
}

interface Child {
  readonly process: ChildProcess
  readonly log: () => string
  readonly logged: (pattern: RegExp) => Promise<void>
  readonly exited: Promise<number | null>
}

function start(command: string, args: readonly string[]): Child {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  const listeners = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      text += `${line}\n`
      for (const listener of listeners) listener()
    })
  }
  const exited = once(child, 'close').then(([code]) => code as number | null)
  const logged = (pattern: RegExp) =>
    new Promise<void>((found, reject) => {
      const look = () => {
        if (!pattern.test(text)) return
        listeners.delete(look)
        found()
      }
      listeners.add(look)
      void exited.then((code) => reject(new Error(`ended (${code}) before ${String(pattern)}:\n${text}`)))
      look()
    })
  return { process: child, log: () => text, logged, exited }
}

async function outcome(command: string, args: readonly string[]): Promise<{ code: number; output: string }> {
  const child = start(command, args)
  return { code: (await child.exited) ?? -1, output: child.log() }
}
