/** The runtimes' programs, from npm. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { missing } from '../servers/versions.ts'

const root = resolve(import.meta.dirname, '../..')

export interface Program {
  readonly name: string
  /** Goes before the program's own file and arguments; null where it is not installed. */
  readonly command: readonly string[] | null
}

const permissions = ['--allow-net', '--allow-read', '--allow-write', '--allow-env', '--allow-sys']

export const programs = {
  node22: installed('Node 22', 'test/runtimes/node_modules/node-22/bin/node', 'npm run runtimes'),
  node24: { name: 'Node 24', command: [process.execPath] },
  node26: installed('Node 26', 'test/runtimes/node_modules/node-26/bin/node', 'npm run runtimes'),
  bun: installed('Bun', 'node_modules/bun/bin/bun.exe', 'npm ci'),
  deno: installed('Deno', 'node_modules/.bin/deno', 'npm ci', ['run', ...permissions, '--no-check', '--no-lock']),
} satisfies Record<string, Program>

function installed(name: string, path: string, how: string, args: readonly string[] = []): Program {
  const file = resolve(root, path)
  if (!existsSync(file)) return { name, command: missing(name, how) }
  return { name, command: [file, ...args] }
}
