/** Servers that start as a built package does: quicker, and without what strips the types in their memory. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ServerOptions, startServer, type TestServer } from '../support/server.ts'

/**
 * As `startServer`, with code that an earlier process has compiled. Node then never loads its TypeScript parser, which
 * takes 30 MiB and half of the start.
 */
export async function startWarm(options: ServerOptions = {}): Promise<TestServer> {
  compiled ??= compile()
  return startServer({ ...options, env: { ...options.env, NODE_COMPILE_CACHE: await compiled } })
}

let compiled: Promise<string> | undefined

/** Runs the server once; tells the folder that has its compiled code then. */
async function compile(): Promise<string> {
  const cache = mkdtempSync(join(tmpdir(), 'fileloft-compiled-'))
  process.once('exit', () => rmSync(cache, { recursive: true, force: true }))
  await using server = await startServer({ env: { NODE_COMPILE_CACHE: cache } })
  // The cache is written at an orderly end, which a signal right behind the start line need not be.
  await fetch(`${server.origin}/healthz`)
  await server.stop('SIGTERM')
  return cache
}
