/** The servers that are compared, and where each is found. */
import { accessSync, constants, readdirSync, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'

export const serverIds = [
  'fileloft',
  'plain',
  'watched',
  'limited',
  'library',
  'bun',
  'deno',
  'workers',
  'nosync',
  'tus-node',
  'tusd',
  'rust',
  'null',
] as const

/** Those that run unless others are named. */
export const usualServers: readonly ServerId[] = ['fileloft', 'nosync', 'tus-node', 'tusd', 'rust', 'null']

export type ServerId = (typeof serverIds)[number]

export interface BenchServer {
  readonly id: ServerId
  readonly title: string
  /** Where it creates uploads. */
  readonly path: string
  /** Whether it keeps what it is sent: the null server does not. */
  readonly stores: boolean
  /** What it keeps is no file in its folder: it is asked for it. */
  readonly isOpaque?: true
  /** Found, or a line that says how to get it. */
  readonly command: Command | string
}

export interface Command {
  readonly program: string
  /** Its first argument is a script for Node, which is `program`. */
  readonly isNode: boolean
  readonly args: (run: RunPlace) => string[]
  readonly environment: (run: RunPlace) => Record<string, string>
  /** It listens on the port that it is given; otherwise its log says which one it took. */
  readonly takesPort?: true
}

/** Where a server is to listen and store. */
export interface RunPlace {
  readonly directory: string
  /** A free port, for servers that do not say which one they took. */
  readonly port: number
  /** Takes webhooks. */
  readonly hooksUrl: string
}

const root = join(import.meta.dirname, '..')

export function benchServers(): BenchServer[] {
  const ours = process.env['BENCH_FILELOFT'] ?? ourCommand()
  const tusd = process.env['BENCH_TUSD'] ?? onPath('tusd')
  const rust = process.env['BENCH_FILELOFT_RUST'] ?? onPath('fileloft-rust')
  const own = { path: '/files/', stores: true } as const
  return [
    { ...own, id: 'fileloft', title: 'fileloft', command: ourServer(ours, () => ({})) },
    { ...own, id: 'plain', title: 'fileloft, plain', command: ourServer(ours, () => ({ FILELOFT_LOG: 'off' })) },
    {
      ...own,
      id: 'watched',
      title: 'fileloft, watched',
      command: ourServer(ours, ({ hooksUrl }) => ({
        FILELOFT_LOG: 'info',
        FILELOFT_METRICS: 'true',
        FILELOFT_HOOKS_URL: hooksUrl,
      })),
    },
    {
      ...own,
      id: 'limited',
      title: 'fileloft, limited',
      command: ourServer(ours, () => ({
        FILELOFT_LOG: 'off',
        // None of them is reached: what is measured is that each request is counted, in hooks.
        FILELOFT_MAX_ACTIVE_UPLOADS: '1000000',
        FILELOFT_MAX_ACTIVE_UPLOADS_PER_CLIENT: '1000000',
        FILELOFT_MAX_BYTES_PER_CLIENT: '1000TiB',
        FILELOFT_MIN_RATE: '1',
      })),
    },
    {
      id: 'nosync',
      title: 'fileloft, no sync',
      path: '/files/',
      stores: true,
      command: ourServer(ours, () => ({ FILELOFT_SYNC: 'never' })),
    },
    { id: 'library', title: 'library, Node', path: '/files', stores: true, command: nodeScript('library.ts') },
    { id: 'bun', title: 'library, Bun', path: '/files', stores: true, command: otherRuntime('bun', []) },
    {
      id: 'deno',
      title: 'library, Deno',
      path: '/files',
      stores: true,
      command: otherRuntime('deno', ['run', '--allow-all', '--no-check', '--no-lock', '--quiet']),
    },
    {
      id: 'workers',
      title: 'library, Workers',
      path: '/files',
      stores: true,
      isOpaque: true,
      command: nodeScript('workers.ts'),
    },
    { id: 'tus-node', title: '@tus/server', path: '/files', stores: true, command: nodeScript('tus-node.ts') },
    {
      id: 'tusd',
      title: 'tusd',
      path: '/files/',
      stores: true,
      command:
        tusd !== undefined && exists(tusd)
          ? {
              program: tusd,
              isNode: false,
              args: ({ directory }) => ['-host', '127.0.0.1', '-port', '0', '-upload-dir', directory],
              environment: () => ({}),
            }
          : 'go install github.com/tus/tusd/v2/cmd/tusd@latest, then on PATH or in BENCH_TUSD',
    },
    {
      id: 'rust',
      title: 'fileloft (Rust)',
      path: '/files',
      stores: true,
      command:
        rust !== undefined && exists(rust)
          ? { program: rust, isNode: false, args: () => [], environment: placeOf }
          : 'cargo build --release in github.com/sound-systems/fileloft, then on PATH as fileloft-rust or in BENCH_FILELOFT_RUST',
    },
    { id: 'null', title: 'null (stores nothing)', path: '/files/', stores: false, command: nodeScript('null.ts') },
  ]
}

function ourServer(file: string, more: Command['environment']): BenchServer['command'] {
  if (!exists(file)) return `there is no ${file}`
  return {
    program: process.execPath,
    isNode: true,
    // Its log, which would tell, may be off.
    takesPort: true,
    args: () => [file],
    environment: (run) => ({ ...placeOf(run), ...more(run) }),
  }
}

function placeOf({ directory, port }: RunPlace): Record<string, string> {
  return { FILELOFT_BIND: `127.0.0.1:${port}`, FILELOFT_DATA_DIR: directory }
}

/** Which of our files runs, for the report's heading. */
export function ourCommand(): string {
  const built = join(root, 'dist/node/cli.js')
  const source = join(root, 'src/node/cli.ts')
  return exists(built) && newest(join(root, 'src')) < statSync(built).mtimeMs ? built : source
}

/** As an installed copy runs, but never a stale one. */
function newest(directory: string): number {
  const files = readdirSync(directory, { recursive: true, encoding: 'utf8' })
  return Math.max(...files.map((file) => statSync(join(directory, file)).mtimeMs))
}

/** One of the scripts in `servers`, under the Node of the bench. */
export function nodeScript(name: string): Command {
  const script = join(import.meta.dirname, 'servers', name)
  return {
    program: process.execPath,
    isNode: true,
    args: ({ directory }) => [script, directory],
    environment: () => ({}),
  }
}

/** The handler on a runtime that npm has installed. */
function otherRuntime(name: string, flags: readonly string[]): BenchServer['command'] {
  const program = join(root, 'node_modules/.bin', name)
  if (!exists(program)) return 'npm install'
  const script = join(import.meta.dirname, 'servers/library.ts')
  return { program, isNode: false, args: ({ directory }) => [...flags, script, directory], environment: () => ({}) }
}

function onPath(name: string): string | undefined {
  return (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find(exists)
}

export function exists(file: string): boolean {
  try {
    accessSync(file, constants.R_OK)
    return true
  } catch {
    return false
  }
}
